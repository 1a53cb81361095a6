"""What threads import while a search goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ORDER = """
import sys
from pathlib import Path
from importlib.abc import MetaPathFinder
from analysis.live import write_page

asked = []

class Heard(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        asked.append(name)

sys.meta_path.insert(0, Heard())
try:
    write_page(Path(sys.argv[1]), None, running=False)
except ValueError:  # there is no record to read
    pass
assert asked.index("pandas") < asked.index("plotly"), asked
"""


def test_the_report_waits_for_pandas_that_another_thread_imports(tmp_path: Path) -> None:
    """plotly takes pandas from `sys.modules` as it stands there, half imported too."""
    subprocess.run([sys.executable, "-c", ORDER, str(tmp_path)], check=True)
