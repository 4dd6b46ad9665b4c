#!/usr/bin/env python3
"""Every rule of tidy.py finds what it is for, and nothing in a tree that keeps them."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy


class TidyTest(unittest.TestCase):
    def findings(self, path, text):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
            return list(tidy.check(root))

    def assert_finds(self, path, text, what):
        found = self.findings(path, text)
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(path + ":"), found)
        self.assertIn(what, found[0])

    def test_what_keeps_the_rules_passes(self):
        self.assertEqual(self.findings("common/engine/a.cc", '#include "common/event/event.h"\n'), [])
        self.assertEqual(self.findings("common/kafka/a.h", "#pragma once\n#include <librdkafka/rdkafka.h>\n"), [])
        self.assertEqual(self.findings("services/ctl/a.cc", '#include "common/engine/engine.h"\n'), [])
        self.assertEqual(self.findings("common/kafka/a_test.cc", '#include "tests/support/temp_dir.h"\n'), [])

    def test_a_library_may_not_include_what_stands_above_it(self):
        for path, included in [("common/event/a.cc", "common/engine/engine.h"),
                               ("common/stream/a.cc", "common/contract/plan.h"),
                               ("common/base/a.cc", "common/telemetry/log.h"),
                               ("common/kafka/a.cc", "services/processor/setup.h"),
                               ("common/rpc/a.cc", "tests/support/temp_dir.h"),
                               ("common/privacy/a_test.cc", "common/engine/engine.h"),
                               ("services/processor/a.cc", "services/audit/audit.h"),
                               ("services/ctl/a.cc", "demo/generator.h")]:
            self.assert_finds(path, f'#include "{included}"\n', "may not include")

    def test_third_parties_have_one_door(self):
        for path, included in [("common/stream/a.cc", "librdkafka/rdkafka.h"),
                               ("services/processor/a.cc", "librdkafka/rdkafka.h"),
                               ("common/rpc/a.cc", "prometheus/registry.h"),
                               ("services/processor/a.cc", "grpcpp/grpcpp.h"),
                               ("common/privacy/a.cc", "re2/re2.h"),
                               ("common/engine/a.cc", "yaml-cpp/yaml.h")]:
            self.assert_finds(path, f"#include <{included}>\n", "only")

    def test_the_engine_is_pure(self):
        self.assert_finds("common/engine/a.cc", "#include <thread>\n", "thread")
        self.assert_finds("common/enrichment/a.cc", "#include <fstream>\n", "file")
        self.assert_finds("common/event/a.cc", "auto t = std::chrono::system_clock::now();\n", "clock")

    def test_rules_of_the_repository(self):
        self.assert_finds("common/base/a.h", "int a();\n", "#pragma once")
        self.assert_finds("common/base/a.cc", "std::cout << 1;\n", "print")
        self.assert_finds("docs/a.md", "TO" + "DO: write\n", "finish")
        self.assert_finds("docs/a.md", "see /ho" + "me/me/a\n", "machine")
        self.assert_finds("docs/a.md", b"\xff\xfe", "UTF-8")
        self.assertEqual(self.findings("docs/images/a.png", b"\xff\xfe"), [])
        self.assert_finds("docs/images/a.png", b"\xff" * (tidy.IMAGE_BYTES_MAX + 1), "smaller")
        self.assert_finds("docs/a.md", "a" * (tidy.FILE_BYTES_MAX + 1), "larger")


if __name__ == "__main__":
    unittest.main()
