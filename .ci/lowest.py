"""Print the lowest version of every dependency that setup.cfg allows, as constraints for pip."""

import configparser
import re
from pathlib import Path

config = configparser.ConfigParser()
config.read(Path(__file__).parent.parent / "setup.cfg")
needed = config["options"]["install_requires"] + config["options.extras_require"]["dev"]
for name, version in re.findall(r"^([\w-]+)>=([\d.]+)", needed, re.M):
    print(f"{name}=={version}")
