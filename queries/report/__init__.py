"""The report's ten figures on any store: what is asked, what is seen, and how sure that is.

from queries.report import report
found = report(Store("data/demo"))
for section in found.sections:
    print(section.title, *section.seen, sep="\\n")
open("report.html", "w").write(to_html(found))
"""

from queries.report.build import report
from queries.report.nouns import Asked, Exhibit, Report, Section
from queries.report.page import to_html
from queries.report.table import to_table

__all__ = ["Asked", "Exhibit", "Report", "Section", "report", "to_html", "to_table"]
