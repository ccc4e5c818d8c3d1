"""faro inside other tools: a scikit-learn classifier, a fixture of pytest.

sklearn_classifier  `ChoiceClassifier`: fit(X, y, *, sensitive_features=)
pytest_plugin       the fixture `faro_certificate`
"""
