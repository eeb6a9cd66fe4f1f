# SPDX-License-Identifier: ISC
"""Who makes signed tokens (RFC 7519): a key, its JWK, and tokens signed with it by openssl.

    i = Issuer(directory, "k1", "ES256")
    i.jwk, i.token(exp=1), i.token({"alg": "none"})
"""
import base64
import hashlib
import hmac
import json
import subprocess
import time

from daemon import openssl

ISSUER = "https://sso.example.net"
USER = "alice@example.com"
KEYS = {"RS256": ("genrsa", "-out", "@", "2048"), "PS256": ("genrsa", "-out", "@", "2048"),
        "ES256": ("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "@"),
        "EdDSA": ("genpkey", "-algorithm", "ed25519", "-out", "@")}


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def run(*args, text=b""):
    return subprocess.run(["openssl", *args], input=text, capture_output=True, check=True).stdout


def raw_signature(der):
    """r and s of 32 octets each, as RFC 7518, 3.4 has them, out of ASN.1."""
    at, out = 2, b""
    for _ in range(2):
        n = der[at + 1]
        out += der[at + 2:at + 2 + n].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + n
    return out


class Issuer:
    def __init__(self, directory, kid, alg="RS256", iss=ISSUER):
        self.kid, self.alg, self.iss = kid, alg, iss
        self.directory, self.key = directory, f"{directory}/{kid}.key"
        openssl(*[self.key if x == "@" else x for x in KEYS[alg]])
        public = run("pkey", "-in", self.key, "-pubout", "-outform", "DER")
        self.jwk = {"kid": kid, "use": "sig", "alg": alg}
        if alg in ("RS256", "PS256"):
            del self.jwk["alg"]         # the same key could do both
            modulus = run("rsa", "-in", self.key, "-noout", "-modulus").decode()
            n = bytes.fromhex(modulus.strip().partition("=")[2])
            self.jwk.update(kty="RSA", n=b64url(n), e="AQAB")
        elif alg == "ES256":
            self.jwk.update(kty="EC", crv="P-256", x=b64url(public[-64:-32]),
                            y=b64url(public[-32:]))
        else:
            self.jwk.update(kty="OKP", crv="Ed25519", x=b64url(public[-32:]))

    def public(self):
        """The public key in the forms somebody might take for a secret."""
        return [json.dumps(self.jwk).encode(),
                run("pkey", "-in", self.key, "-pubout"),
                run("pkey", "-in", self.key, "-pubout", "-outform", "DER")]

    def sign(self, text, alg=None):
        alg = alg or self.alg
        if alg == "EdDSA":              # openssl wants to know how long it is
            path = f"{self.directory}/{self.kid}.text"
            with open(path, "wb") as f:
                f.write(text)
            return run("pkeyutl", "-sign", "-rawin", "-inkey", self.key, "-in", path)
        more = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32") \
            if alg == "PS256" else ()
        sig = run("dgst", "-sha256", *more, "-sign", self.key, text=text)
        return raw_signature(sig) if alg == "ES256" else sig

    def text(self, header=None, **claims):
        """What is signed."""
        head = {"alg": self.alg, "kid": self.kid, **(header or {})}
        body = {"iss": self.iss, "aud": "mail", "exp": int(time.time()) + 600, "email": USER,
                "scope": "openid smtp", **claims}
        return b64url(json.dumps(head).encode()) + "." + b64url(json.dumps(body).encode())

    def token(self, header=None, **claims):
        text = self.text(header, **claims)
        return text + "." + b64url(self.sign(text.encode()))

    def hmac_token(self, secret, **claims):
        """HS256, as if the public key were a secret."""
        text = self.text({"alg": "HS256"}, **claims)
        return text + "." + b64url(hmac.new(secret, text.encode(), hashlib.sha256).digest())
