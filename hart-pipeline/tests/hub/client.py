"""Fetches files of a repository as Python programs do, and prints the folder they are in."""

import os
import sys

from huggingface_hub import hf_hub_download

repository, *names = sys.argv[1:]
paths = [hf_hub_download(repository, name) for name in names]
folder = paths[0].removesuffix(os.sep + names[0].replace("/", os.sep))
assert all(path == os.path.join(folder, *name.split("/")) for path, name in zip(paths, names))
assert all(os.path.getsize(path) > 0 for path in paths)
print(folder)
