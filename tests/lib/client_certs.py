# SPDX-License-Identifier: ISC
"""Certificates of clients, for EXTERNAL: good ones and such as must not be taken."""
import subprocess

from daemon import openssl


def client_certs(directory):
    """dan (by fingerprint), eve (by her address), old (expired), mallory (another authority)."""
    for ca in ("clients", "others"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", "30", "-subj", f"/CN={ca}", "-addext", "basicConstraints=critical,CA:TRUE",
                "-keyout", f"{directory}/{ca}.key", "-out", f"{directory}/{ca}.pem")
    for name, ca, days in (("dan", "clients", "30"), ("eve", "clients", "30"),
                           ("old", "clients", "-1"), ("mallory", "others", "30")):
        mail = "nobody@elsewhere.example" if name == "dan" else "eve@example.com"
        make_client_cert(directory, name, ca, days, mail)
    return fingerprint(f"{directory}/dan.pem")


def make_client_cert(directory, name, ca, days="30", mail="eve@example.com"):
    base = f"{directory}/{name}"
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-keyout", base + ".key", "-out", base + ".csr")
    with open(base + ".ext", "w") as f:
        f.write(f"subjectAltName=email:{mail}\nextendedKeyUsage=clientAuth\n")
    openssl("x509", "-req", "-in", base + ".csr", "-CA", f"{directory}/{ca}.pem", "-CAkey",
            f"{directory}/{ca}.key", "-CAcreateserial", "-days", days, "-extfile",
            base + ".ext", "-out", base + ".pem")


def fingerprint(path):
    r = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-fingerprint", "-sha256"],
                       capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    return r.stdout.strip().split("=")[1]
