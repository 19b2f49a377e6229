"""A process of its own that asks the questions 0 ... COUNT-1; it is killed in the middle.

python faulty_client.py URL CACHE COUNT CONCURRENCY
"""

import sys
from pathlib import Path

from paribus.inference.endpoint import EndpointEngine
from paribus.inference.engine import GenerationRequest
from paribus.records import Message

url, cache, count, concurrency = sys.argv[1:]
EndpointEngine(url, "m", cache=Path(cache), concurrency=int(concurrency)).generate(
    [GenerationRequest(id=f"q{i}", messages=(Message(role="user", content=f"q{i}"),)) for i in range(int(count))]
)
