"""`--predictions`: one file per checkpoint beside its losses, complete, resumable, refused mixed."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.errors import IngestError
from ingest.options import RunOptions
from ingest.output import writer
from ingest.run import run
from ingest.verify import verify
from store import schema
from store.layout import Layout
from store.manifest import read_manifest
from tests.ingest.model.test_softmax import by_hand
