"""Every file by name that a training leaves: in the folder of a model, of `mdsearch train`, or of a trial."""

MODEL_NAME = "model.json"  # beside the weights of each part
ARCHITECTURE_NAME = "architecture.yaml"
CONFIG_NAME = "config.yaml"  # the settings that it was made with
SAMPLES_NAME = "samples.png"
CURVE_NAME = "curve.jsonl"
CARD_NAME = "README.md"  # of a trained model: what it is, and whom its images are by
STATE_NAME = "state.pt"
