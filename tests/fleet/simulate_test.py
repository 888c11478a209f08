#!/usr/bin/env python3
"""hetctl simulate as a user runs it: outputs, repeatability, what-if, bad input.

usage: simulate_test.py HETCTL SOURCE_DIR
"""
import csv
import decimal
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
import xml.dom.minidom

HETCTL, SOURCE = sys.argv[1:3]
NODES = "name,cpu_milli,memory_mib,gpu,model,count\nbig,32000,128000,4,G2,6\nsmall,16000,64000,2,T4,4\n"
KINDS = [(4000, 16000, 1, 1000), (2000, 8000, 1, 470), (2000, 8000, 1, 530), (8000, 8000, 0, 0), (1000, 1000, 1, 810)]


def jobs(count=200):
    lines = ["name,cpu_milli,memory_mib,num_gpu,gpu_milli,tenant,class,arrival_s,duration_s"]
    for i in range(count):
        cpu, memory, gpus, milli = KINDS[i % len(KINDS)]
        lines.append(f"job{i:04},{cpu},{memory},{gpus},{milli},{'ab'[i % 2]},{['reserved', 'on-demand', 'batch'][i % 3]},"
                     f"{i * 60},{3600 + i % 7 * 900}")
    return "\n".join(lines) + "\n"


class Simulate(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.nodes = self.file("nodes.csv", NODES)
        self.jobs = self.file("jobs.csv", jobs())

    def tearDown(self):
        self.directory.cleanup()

    def file(self, name, text):
        path = os.path.join(self.directory.name, name)
        with open(path, "w", encoding="ascii") as handle:
            handle.write(text)
        return path

    def run_hetctl(self, *args, nodes=None, jobs_file=None):
        return subprocess.run([HETCTL, "simulate", "--nodes", nodes or self.nodes, "--jobs", jobs_file or self.jobs, *args],
                              capture_output=True, text=True, check=False, timeout=60)

    def output(self, *args):
        run = self.run_hetctl(*args)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def test_overload_as_json(self):
        result = json.loads(self.output("--policy", "fgd", "--seeds", "42-44", "--arrival", "1.3", "-o", "json"))
        self.assertEqual(result["policy"], "fgd")
        self.assertEqual([s["seed"] for s in result["seeds"]], [42, 43, 44])
        shares = [s["unallocated_gpu_share"] for s in result["seeds"]]
        self.assertAlmostEqual(result["mean"], sum(shares) / 3)
        self.assertTrue(all(0 <= share < 1 for share in shares))

    def test_the_same_seed_gives_the_same_bytes(self):
        for args in (["--arrival", "1.3", "--window", "10", "--policy", "random,het"],
                     ["--policy", "random,het", "--load", "1.5", "--mtbf-hours", "50", "--quota", "a=6", "--quota", "b=6"]):
            for form in ("table", "json", "csv", "html"):
                self.assertEqual(self.output(*args, "-o", form), self.output(*args, "-o", form), (args, form))

    def test_every_job_is_accounted_for(self):
        result = json.loads(self.output("--policy", "het", "--mtbf-hours", "20", "-o", "json"))
        classes = result["seeds"][0]["classes"].values()
        self.assertEqual(sum(c["arrived"] for c in classes), 200)
        for c in classes:
            self.assertEqual(c["arrived"], c["completed"] + c["running"] + c["waiting"] + c["impossible"])

    def report(self, name, *args):
        path = os.path.join(self.directory.name, name)
        result = json.loads(self.output("--policy", "het", "--report", path, "-o", "json", *args))
        with open(path, encoding="utf-8", newline="") as handle:
            return result, handle.read()

    def test_the_report_adds_up(self):
        result, text = self.report("report.csv", "--mtbf-hours", "100", "--repair-hours", "2")
        shares, used, states = {}, decimal.Decimal(0), set()
        for row in csv.DictReader(io.StringIO(text)):
            key = (row["periodStart"], row["deviceId"])
            for column in ("computeShare", "memoryShare"):
                shares[key, column] = shares.get((key, column), 0) + decimal.Decimal(row[column])
            states.add(row["state"])
            if row["state"] == "Used":
                used += decimal.Decimal(row["computeShare"]) * decimal.Decimal(row["sampleCoverage"])
        self.assertEqual(set(shares.values()), {decimal.Decimal(1)})
        self.assertLessEqual({"Used", "Free", "Stranded", "Unhealthy"}, states)
        tenants = sum(t["device_hours"] for t in result["seeds"][0]["tenants"].values())
        self.assertAlmostEqual(float(used), tenants, delta=0.01 * tenants)

    def test_the_report_comes_as_hetds_does(self):
        _, focus = self.report("focus.csv", "--report-format", "focus-1.3")
        self.assertIn("ConsumedUnit", focus.splitlines()[0])
        _, lines = self.report("report.jsonl")
        row = json.loads(lines.splitlines()[0])
        self.assertIn("state", row)
        with open(os.path.join(self.directory.name, "report.jsonl.json"), encoding="utf-8") as handle:
            self.assertIn("simulated", json.load(handle)["generator"])
        _, page = self.report("report.html")
        self.assertIn("<html", page)
        self.assertIn("simulated", page)
        for name in ("focus.csv", "report.jsonl", "report.html"):
            before = self.report(name)[1]
            self.assertEqual(before, self.report(name)[1])

    def test_several_devices_are_linked_ones_where_the_trace_tells(self):
        nodes = self.file("linked.csv", "name,cpu_milli,memory_mib,gpu,model,count,gpu_per_island,gpu_per_numa\n"
                                        "n,32000,128000,8,G2,4,2,4\n")
        pairs = self.file("pairs.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n" + "".join(
            f"j{i:03},100,100,{1 + i % 2},1000\n" for i in range(60)))
        for policy in ("best-fit", "fgd", "het"):
            run = self.run_hetctl("--policy", policy, "--arrival", "0.8", "-o", "json", nodes=nodes, jobs_file=pairs)
            multi = json.loads(run.stdout)["seeds"][0]["multi_device"]
            self.assertGreater(multi["placed"], 0)
            self.assertGreaterEqual(multi["linked"], 0.7 * multi["placed"], policy)

    def test_an_impossible_job_is_reported_and_never_waits(self):
        path = self.file("big.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli,arrival_s,duration_s\n"
                                    "big,1000,1000,9,1000,0,10\nsmall,1000,1000,1,500,1,10\n")
        run = self.run_hetctl("-o", "json", jobs_file=path)
        seed = json.loads(run.stdout)["seeds"][0]
        self.assertEqual(seed["impossible_jobs"], ["big"])
        self.assertEqual(seed["classes"]["on-demand"]["completed"], 1)

    def test_more_nodes_wait_less(self):
        before = json.loads(self.output("--load", "2", "-o", "json"))["mean"]["wait_mean_s"]
        after = json.loads(self.output("--load", "2", "--add-nodes", "G2=10", "-o", "json"))["mean"]["wait_mean_s"]
        self.assertGreater(before, after)

    def test_cut_devices_take_no_whole_jobs(self):
        result = json.loads(self.output("--cut", "G2=2", "--cut", "T4=2", "-o", "json"))
        self.assertGreater(result["mean"]["impossible"], 0)

    def test_the_page_is_whole_and_fetches_nothing(self):
        page = self.output("--policy", "best-fit,het", "-o", "html")
        for word in ("http:", "https:", "<script", "src="):
            self.assertNotIn(word, page)
        for svg in page.split("<svg")[1:]:
            xml.dom.minidom.parseString("<svg" + svg.split("</svg>")[0] + "</svg>")
        self.assertGreaterEqual(page.count("<svg"), 6)

    def test_bad_input_is_one_clear_line(self):
        bad = self.file("bad.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,1,1,2000\n")
        backwards = self.file("back.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time\na,1,1,1,9,9,3\n")
        empty = self.file("empty.csv", "sn,cpu_milli,memory_mib,gpu,model\n")
        bare = self.file("bare.csv", "name,cpu_milli,memory_mib,gpu,model\na,1000,1000,0,\n")
        huge = self.file("huge.csv", "name,cpu_milli,memory_mib,gpu,model,gpu_memory_mib\na,1,1,1,X,99999999999999999999\n")
        many = self.file("many_nodes.csv", "name,cpu_milli,memory_mib,gpu,model,count\na,1,1,1,X,999999999\n")
        late = self.file("late.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli,arrival_s\na,1,1,1,1,nan\n")
        for args, kwargs, expected in (
                ([], {"jobs_file": bad}, "bad.csv:2: gpu_milli"),
                ([], {"jobs_file": backwards}, "back.csv:2: deletion_time"),
                ([], {"nodes": empty}, "no nodes"),
                ([], {"nodes": "/nowhere"}, "/nowhere"),
                (["--policy", "magic"], {}, "there are: random"),
                (["--seeds", "9-1"], {}, "42-51"),
                (["--add-nodes", "H100=1"], {}, "there are: G2, T4"),
                (["--remove-nodes", "T4=99"], {}, "4 are there"),
                (["--cut", "G2=99"], {}, "at most 32"),
                (["--quota", "nobody=1"], {}, "nobody"),
                (["--report", "report.txt"], {}, ".csv, .jsonl or .html"),
                (["--report", "r.csv", "--seeds", "1-2"], {}, "one seed"),
                ([], {"nodes": huge}, "huge.csv:2: gpu_memory_mib"),
                ([], {"nodes": many}, "many_nodes.csv:2: count"),
                ([], {"jobs_file": late}, "late.csv:2: arrival_s"),
                (["--arrival", "1.3"], {"nodes": bare}, "no devices"),
                ([], {"nodes": bare}, "no devices"),
                (["--arrival", "1.3", "--window", "0"], {}, "window")):
            run = self.run_hetctl(*args, **kwargs)
            self.assertNotEqual(run.returncode, 0, expected)
            self.assertIn(expected, run.stderr)
            self.assertEqual(len(run.stderr.strip().splitlines()), 1, run.stderr)

    def test_an_interrupted_run_prints_what_it_has(self):
        process = subprocess.Popen([HETCTL, "simulate", "--nodes", self.nodes, "--jobs", self.file("many.csv", jobs(50000)),
                                    "--policy", "het", "--seeds", "1-900", "-o", "json"], stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.PIPE)
        try:
            process.communicate(timeout=3)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertTrue(json.loads(out).get("interrupted"))

    def test_llm_deployments_side_by_side(self):
        trace = self.file("trace.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
            f"2023-11-16 18:{i // 60:02}:{i % 60:02}.5,{200 + i % 300},{20 + i % 50}\n" for i in range(300)))
        node = self.file("node.toml", """name = "pair"
mode = "timing"
[[device]]
name = "fast"
vendor = "X"
memory = "16GiB"
compute_units = 80
memory_gb_per_s = 900
f32_tflops = 14
[device.op.prefill]
batch = [0, 1000]
ms = [0.0, 10.0]
[device.op.decode]
batch = [0, 100]
ms = [1.0, 2.0]
[[device]]
name = "slow"
vendor = "X"
memory = "16GiB"
compute_units = 40
memory_gb_per_s = 300
f32_tflops = 8
[device.op.prefill]
batch = [0, 1000]
ms = [0.0, 40.0]
[device.op.decode]
batch = [0, 100]
ms = [3.0, 6.0]
""")
        model = os.path.join(SOURCE, "devices/simulated/profiles/llama2-24l.model.toml")
        run = subprocess.run([HETCTL, "simulate", "--requests", trace, "--node", node, "--model", model, "--price", "fast=2",
                              "-o", "json"], capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(run.returncode, 0, run.stderr)
        result = json.loads(run.stdout)
        self.assertTrue(result["simulated"])
        by_name = {d["deployment"]: d for d in result["deployments"]}
        self.assertGreater(by_name["pipeline"]["saturated_tokens_per_s"], by_name["even split"]["saturated_tokens_per_s"])
        self.assertIn("cost_per_million_tokens", by_name["pipeline"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
