"""README, its Chinese mirror and the guide: short enough, alike, and every link leads somewhere."""

import glob
import os
import re

import pytest
import yaml

from deeplab_nb import files

PAGES = ["README.md", "README.zh.md", "CONTRIBUTING.md", "papermill_runs/README.md"]
PAGES += sorted(
    os.path.relpath(path, files.ROOT)
    for path in glob.glob(os.path.join(files.NOTEBOOKS, "**", "*.md"), recursive=True)
)


def text(page):
    with open(os.path.join(files.ROOT, page), encoding="utf-8") as file:
        return file.read()


def links(page):
    return re.findall(r"\]\(([^)\s]+)\)", text(page))


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_project_lead_somewhere(page):
    folder = os.path.dirname(os.path.join(files.ROOT, page))
    for link in links(page):
        path, _, heading = link.partition("#")
        if path.startswith("http"):
            continue
        target = os.path.join(folder, path) if path else os.path.join(files.ROOT, page)
        assert os.path.exists(target), link
        if heading:
            slugs = {
                re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
                for line in text(os.path.relpath(target, files.ROOT)).splitlines()
                if line.startswith("#")
            }
            assert heading in slugs, link


def test_the_readme_is_short_and_its_mirror_has_the_same_parts():
    english, chinese = text("README.md"), text("README.zh.md")
    assert len(english.split()) <= 1300
    for pattern in (r"^## ", r"^\|", r"^```sh"):
        assert len(re.findall(pattern, english, re.M)) == len(re.findall(pattern, chinese, re.M))
    assert set(links("README.md")) - {"README.zh.md"} == set(links("README.zh.md")) - {"README.md"}


def test_every_page_of_the_guide_is_found_from_the_readme():
    pages = {page for page in PAGES if page.startswith("notebooks/guide/")}
    assert pages and pages <= set(links("README.md"))


def test_the_commands_of_readme_and_mirror_are_the_same():
    def commands(page):
        blocks = re.findall(r"```sh\n(.*?)```", text(page), re.S)
        return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]

    assert commands("README.md") == commands("README.zh.md")


def test_the_citation_is_one():
    cited = yaml.safe_load(text("CITATION.cff"))
    assert {"cff-version", "title", "message", "authors"} <= cited.keys()
    assert [r["url"][-10:] for r in cited["references"]] == ["1706.05587", "1802.02611"]
