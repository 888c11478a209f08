"""The bundle of this build runs where nothing of het's is installed, and one that was left unfinished can be made anew."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD, SOURCE = os.environ["HET_BUILD_DIR"], os.environ["HET_SOURCE_DIR"]


def make(output, build=BUILD):
    return subprocess.run([sys.executable, os.path.join(SOURCE, "tools", "bundle", "bundle.py"), "--build", build, "--output", output],
                          capture_output=True, text=True, check=False)


class Bundle(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="het-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def test_it_runs_from_another_place_and_names_nothing_of_this_build(self):
        made, moved = os.path.join(self.folder, "made"), os.path.join(self.folder, "elsewhere")
        result = make(made)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        os.rename(made, moved)
        answer = subprocess.run([os.path.join(moved, "bin", "hetllm"), "generate", "-m", os.path.join(moved, "share", "addition.gguf"),
                                 "-p", "12+34=", "--slices", "cpu", "--embedded"],
                                capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", "HOME": self.folder})
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertIn("46", answer.stdout)
        for program in os.listdir(os.path.join(moved, "bin")):
            path = os.path.join(moved, "bin", program)
            listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}).stdout
            self.assertNotIn(BUILD, listed, program)
            self.assertNotIn("not found", listed, program)

    def test_a_folder_of_something_else_is_left_alone_and_an_unfinished_bundle_is_not(self):
        other = os.path.join(self.folder, "other")
        os.mkdir(other)
        with open(os.path.join(other, "thesis.txt"), "w", encoding="ascii") as handle:
            handle.write("mine")
        result = make(other)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("left alone", result.stderr)
        self.assertEqual(os.listdir(other), ["thesis.txt"])

        empty = os.path.join(self.folder, "empty")
        os.mkdir(empty)
        unfinished = os.path.join(self.folder, "unfinished")
        result = make(unfinished, build=empty)
        self.assertIn("is not built", result.stderr)
        self.assertTrue(os.path.exists(unfinished))
        self.assertIn("is not built", make(unfinished, build=empty).stderr, "refused as something else")


if __name__ == "__main__":
    unittest.main(verbosity=2)
