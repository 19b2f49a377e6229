"""The data room opens fast: nothing heavy is imported before it is needed."""

import subprocess
import sys

HEAVY = ("torch", "transformers", "tokenizers", "datasets", "pyarrow", "pandas", "scipy")
PROGRAM = """
import sys
import paribus.data, paribus.data.chat, paribus.data.mixtures, paribus.data.packing, paribus.data.pairs
import paribus.data.samples, paribus.data.sources, paribus.data.stream, paribus.data.tokenizer, paribus.records
print(*(name for name in sys.argv[1:] if name in sys.modules))
"""


def test_importing_the_room_imports_nothing_heavy():
    found = subprocess.run([sys.executable, "-c", PROGRAM, *HEAVY], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_a_jsonl_file_is_loaded_without_anything_heavy(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "Hi", "completion": "Hello"}\n')
    program = PROGRAM.replace("print(", f"paribus.data.sources.load_examples({str(path)!r}, language='en')\nprint(")
    found = subprocess.run([sys.executable, "-c", program, *HEAVY], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
