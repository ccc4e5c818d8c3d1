"""faro inside other tools: a scikit-learn classifier, a fixture of pytest."""
