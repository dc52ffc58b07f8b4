"""A certificate authority that lives as long as a test, and one certificate for all hosts that are stood in for."""
import os
import subprocess


def openssl(*words):
    subprocess.run(("openssl",) + words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   stdin=subprocess.DEVNULL)


def make(folder, hosts):
    """Returns the files (authority's certificate, certificate, key)."""
    ca, ca_key = f"{folder}/ca.pem", f"{folder}/ca.key"
    cert, key, request, extensions = (f"{folder}/{name}" for name in ("cert.pem", "key.pem", "request", "extensions"))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", ca_key, "-out", ca, "-days", "30", "-subj", "/CN=tally stand-in authority",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", *curve, "-keyout", key, "-out", request, "-subj", "/CN=standin")
    names = [f"DNS:{host}" for host in sorted(set(hosts) | {"localhost"})] + ["IP:127.0.0.1", "IP:127.0.0.2"]
    with open(extensions, "w", encoding="ascii") as file:
        file.write(f"subjectAltName={','.join(names)}\nextendedKeyUsage=serverAuth\n"
                   "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n")
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "30", "-out", cert,
            "-extfile", extensions)
    for name in (request, extensions, ca_key):
        os.unlink(name)
    return ca, cert, key
