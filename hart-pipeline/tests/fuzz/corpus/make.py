"""Makes the files of this folder that are no text: `python3 make.py`, with Pillow and NumPy.

They are the smallest of their kinds. The text files beside them are written by hand."""
import io, json, pickle, struct, sys, types, zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
ZEROS = (1980, 1, 1, 0, 0, 0)


def write(reader, name, content):
    (HERE / reader).mkdir(exist_ok=True)
    (HERE / reader / name).write_bytes(content)


# --- Safetensors -----------------------------------------------------------------------------

def safetensors(tensors, metadata=None):
    header, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    header = json.dumps(header, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


floats = np.arange(6, dtype="<f4").tobytes()
halves = np.arange(6, dtype="<f2").tobytes()
plain = safetensors({"a.weight": ("F32", [2, 3], floats), "b": ("F16", [6], halves)}, {"format": "pt"})
write("safetensors", "plain.safetensors", plain)
write("safetensors", "integers.safetensors", safetensors({
    "a.weight": ("I8", [2, 3], bytes([127, 129, 1, 0, 64, 254])),
    "a.weight.scale": ("F32", [2], np.array([0.5, 2], "<f4").tobytes()),
    "c": ("BF16", [0, 4], b""), "d": ("I64", [], struct.pack("<q", 3)), "e": ("F64", [1], struct.pack("<d", 1e300))}))


# --- PyTorch: pickles as torch.save writes them, of stand-ins for its classes ------------------

class Storage:
    def __init__(self, kind, key, elements):
        self.kind, self.key, self.elements = kind, key, elements


def function(module, name):
    made = types.ModuleType(module)
    sys.modules.setdefault(module, made)
    def called(*arguments): pass
    called.__module__, called.__qualname__, called.__name__ = module, name, name
    setattr(sys.modules[module], name, called)
    return called


rebuild = function("torch._utils", "_rebuild_tensor_v2")
parameter = function("torch._utils", "_rebuild_parameter")
kinds = {name: function("torch", name) for name in ("FloatStorage", "BFloat16Storage", "LongStorage")}


class Call:
    """What is pickled as a call of a function."""
    def __init__(self, called, *arguments): self.called, self.arguments = called, arguments
    def __reduce__(self): return self.called, self.arguments


def tensor(offset, shape, strides, kind="FloatStorage", key="0"):
    return Call(rebuild, Storage(kind, key, 6), offset, shape, strides, False, OrderedDict())


def dump(value, protocol=2, legacy=False):
    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, Storage):
                view = (None,) if legacy else ()
                return ("storage", kinds[value.kind], value.key, "cpu", value.elements, *view)
    # Python's own pickler refuses types that are functions of other names; these are not.
    file = io.BytesIO()
    Pickler(file, protocol).dump(value)
    return file.getvalue()


def archive(content, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, content in [("m/data.pkl", content), ("m/data/0", floats), ("m/byteorder", b"little"), ("m/version", b"3\n")]:
            made.writestr(zipfile.ZipInfo(name, ZEROS), content)
    return file.getvalue()


weights = OrderedDict([("a.weight", tensor(0, (2, 3), (3, 1))), ("b", tensor(2, (2, 2), (1, 2)))])
training = {"epoch": 3, "loss": 0.5, "betas": [0.9, 0.95], "model": weights, "args": {"name": "run", "flag": True, "none": None},
            "optimizer": {"state": {0: {"exp_avg": tensor(4, (2,), (1,)), "step": 7}}, "param_groups": [{"lr": 1e-4, "params": [0, 1]}]},
            "big": 1 << 70, "text": "é" * 3, "bytes": b"abc", "set": {1, 2}}
other = {"module.a": Call(parameter, tensor(0, (2, 3), (3, 1), "BFloat16Storage"), True, OrderedDict()), "n_averaged": tensor(0, (), (), "LongStorage")}
for name, value in [("weights", weights), ("training", training), ("other", other)]:
    for protocol in (2, 4):
        write("pickle", f"{name}-{protocol}.pkl", dump(value, protocol))
    write("torch", f"{name}.pt", archive(dump(value)))
write("torch", "deflated.pt", archive(dump(weights), zipfile.ZIP_DEFLATED))
machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
write("torch", "legacy.pt", b"".join([
    pickle.dumps(0x1950a86a20f9469cfc6c, 2), pickle.dumps(1001, 2), pickle.dumps(machine, 2),
    dump(weights, legacy=True), pickle.dumps(["0"], 2), struct.pack("<Q", 6), floats]))

# --- Planes: a safetensors file in 16 bits, its bytes at even places before those at odd ones ----

content = safetensors({"a.weight": ("F16", [2, 3], halves)})
write("planes", "small.planes", content[::2] + content[1::2])

# --- Images ------------------------------------------------------------------------------------

yx = np.mgrid[0:6, 0:8]
rgb = Image.fromarray(np.stack([yx[1] * 30, yx[0] * 40, np.where(yx[1] > yx[0], 255, 0)], 2).astype(np.uint8))
alpha = rgb.copy(); alpha.putalpha(Image.fromarray((yx[0] * 50).astype(np.uint8)))
deep = Image.fromarray((yx[0] * 10_000).astype(np.uint16))
exif = Image.Exif(); exif[0x0112] = 6
frames = dict(save_all=True, append_images=[rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)], duration=50)
for name, image, options in [
    ("rgb.png", rgb, {}), ("alpha.png", alpha, {}), ("palette.png", rgb.quantize(4), {}), ("grey16.png", deep, {}),
    ("bit.png", rgb.convert("1"), {}), ("exif.png", rgb, dict(exif=exif)), ("animated.png", rgb, frames),
    ("rgb.jpg", rgb, dict(exif=exif)), ("progressive.jpg", rgb, dict(progressive=True, quality=30)),
    ("grey.jpg", rgb.convert("L"), {}), ("cmyk.jpg", rgb.convert("CMYK"), {}),
    ("lossless.webp", alpha, dict(lossless=True)), ("lossy.webp", alpha, dict(quality=40)),
    ("animated.webp", rgb, frames), ("exif.webp", rgb, dict(exif=exif)),
    ("still.gif", rgb, {}), ("animated.gif", rgb, frames),
    ("rgb.bmp", rgb, {}), ("palette.bmp", rgb.quantize(4), {}), ("alpha.bmp", alpha, {}),
    ("raw.tiff", rgb, {}), ("lzw.tiff", alpha, dict(compression="tiff_lzw")),
    ("deflate.tiff", rgb, dict(compression="tiff_adobe_deflate")), ("packbits.tiff", rgb.convert("L"), dict(compression="packbits")),
]:
    file = io.BytesIO()
    image.save(file, {"jpg": "JPEG", "tiff": "TIFF"}.get(name.split(".")[1], name.split(".")[1].upper()), **options)
    write("image", name, file.getvalue())
