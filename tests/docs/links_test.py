#!/usr/bin/env python3
"""Every kind of broken link is found, and no whole one."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import links


class LinksTest(unittest.TestCase):
    def findings(self, text):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "docs"))
            with open(os.path.join(root, "docs", "other.md"), "w", encoding="utf-8") as page:
                page.write("# A title: with `code`\n## Twice\n## Twice\n")
            with open(os.path.join(root, "docs", "page.md"), "w", encoding="utf-8") as page:
                page.write(text)
            return list(links.check(root))

    def test_whole_links_pass(self):
        self.assertEqual(self.findings(
            "# Here\n[a](other.md) [b](other.md#a-title-with-code) [c](#here) [d](other.md#twice-1)\n"
            "[e](https://example.org/x) `[f](nowhere.md)`\n```\n[g](nowhere.md)\n```\n"), [])

    def test_broken_links_are_found_with_their_lines(self):
        self.assertEqual(self.findings("\n[a](nowhere.md)\n"), ["docs/page.md:2: there is no nowhere.md"])
        self.assertIn("#nothing", self.findings("[a](other.md#nothing)\n")[0])
        self.assertIn("no heading", self.findings("[a](#there)\n")[0])
        self.assertIn("leads out", self.findings("[a](../../)\n")[0])


if __name__ == "__main__":
    unittest.main()
