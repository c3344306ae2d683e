"""Reports: one HTML page on a run, or on several beside each other, that needs nothing but a browser.

`page.write_report` writes it, `sections` says what was run and what came of it, `charts` draws curves,
`views` densities in space that can be turned, and `comparison` lists what is different in several runs. What
a page loads is inside of it: no network is used.
"""

from fem_models.core.extras import require

for _library in ("jinja2", "plotly", "pyvista"):
    require(_library, extra="plot", what="Reports")

# After the check, which names what is missing before the import would fail.
from fem_models.report.page import write_report  # noqa: E402

__all__ = ["write_report"]
