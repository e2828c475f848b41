"""The detector of the paper: normal, CutPaste scar or FMAS anomaly, seen through WDAM."""
