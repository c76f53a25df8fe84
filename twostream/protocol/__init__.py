"""All folds and seeds of an experiment: trained, tested, and taken together with intervals."""
