"""The report's ten figures on any store: questions, findings, and how certain they are.

from queries.report import report
found = report(Store("data/demo"))
for section in found.sections:
    print(section.title, *section.seen, sep="\n")
open("report.html", "w").write(to_html(found))
"""

from queries.report.build import of_sections, report, sections
from queries.report.model import Exhibit, GroupSize, Report, Section, to_table
from queries.report.page import to_html
from queries.report.spike import SpikeStory, spike_story

__all__ = [
    "Exhibit",
    "GroupSize",
    "Report",
    "Section",
    "SpikeStory",
    "of_sections",
    "report",
    "sections",
    "spike_story",
    "to_html",
    "to_table",
]
