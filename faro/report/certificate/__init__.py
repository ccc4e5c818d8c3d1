"""What a certificate or a gate says, for people and for CI: JUnit, SARIF, Markdown, annotations, a page.

outcome   one run as a plain record that holds no more than may be shown
claim     a claim of the policy with what the certificate says of it
words     all of it in plain words

junit, sarif, github, page   one output each, text from an outcome
write     the files that were asked for, at once
"""

from ._github import github_annotations as github_annotations
from ._github import markdown as markdown
from ._junit import junit_xml as junit_xml
from ._outcome import Mode as Mode
from ._outcome import Outcome as Outcome
from ._page import certificate_page as certificate_page
from ._sarif import sarif as sarif
from ._words import assumptions as assumptions
from ._words import shown as shown
from ._words import statement as statement
from ._write import write_outputs as write_outputs
