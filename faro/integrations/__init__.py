"""faro inside other tools: scikit-learn estimators, reward functions of policy trainers, a fixture of pytest.

sklearn_classifier  `ChoiceClassifier`: fit(X, y, *, sensitive_features=)
sklearn_ranker      `PairRanker`: the same of pairs, features of both sides
estimator           what the two share: parameters, weights, predictions
groups              what people pass as `sensitive_features`, in the order of X
rewards             `reward_fn`: a saved model as f(prompts, completions, **columns)
advantages          advantages of `faro.policies` in TRL's GRPO trainer and in Tunix' registry
training            the game on one sample in memory
pytest_plugin       the fixture `faro_certificate`
"""
