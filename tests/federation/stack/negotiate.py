"""negotiate.py SERVICE: prints a token of Kerberos for a service such as HTTP@localhost, as `Negotiate` needs it."""

import base64
import ctypes
import sys

GSS = ctypes.CDLL("libgssapi_krb5.so.2")


class Buffer(ctypes.Structure):
    _fields_ = [("length", ctypes.c_size_t), ("value", ctypes.c_void_p)]


def check(major, minor):
    # The upper half has errors, and the lower one says that the context goes on.
    if major & 0xFFFF0000:
        sys.exit(f"GSSAPI failed: {major:#x} {minor.value}")


minor, name, context = ctypes.c_uint32(), ctypes.c_void_p(), ctypes.c_void_p()
service = sys.argv[1].encode()
given = Buffer(len(service), ctypes.cast(ctypes.c_char_p(service), ctypes.c_void_p))
host_based = ctypes.c_void_p.in_dll(GSS, "GSS_C_NT_HOSTBASED_SERVICE")
check(GSS.gss_import_name(ctypes.byref(minor), ctypes.byref(given), host_based, ctypes.byref(name)), minor)
token = Buffer()
nothing = ctypes.c_void_p()
major = GSS.gss_init_sec_context(
    ctypes.byref(minor),
    nothing,
    ctypes.byref(context),
    name,
    nothing,
    ctypes.c_uint32(0),
    ctypes.c_uint32(0),
    nothing,
    nothing,
    nothing,
    ctypes.byref(token),
    nothing,
    nothing,
)
check(major, minor)
print(base64.b64encode(ctypes.string_at(token.value, token.length)).decode())
