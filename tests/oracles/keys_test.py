#!/usr/bin/env python3
"""Pseudonyms, encrypted and format-preserved values against libraries that aren't ours: hmac, HKDF, AES and AES-SIV of
`cryptography`, FF1 of `fastfpe`. Keys come from the keyring's own file, read here by its description
(common/privacy/keyring.h); values go through `sluicectl run`.

SLUICE_BINARY_DIR and SLUICE_SOURCE_DIR name build and sources. SLUICE_ORACLE_SEED and SLUICE_ORACLE_SIZE (1) choose
other values and more.
"""
import base64
import hashlib
import hmac
import json
import os
import random
import re
import subprocess
import tempfile
import unittest

import fastfpe.ff1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SLUICECTL = os.path.join(os.environ["SLUICE_BINARY_DIR"], "services/ctl/sluicectl")
PROTO = os.path.join(os.environ["SLUICE_SOURCE_DIR"], "proto")
SEED = int(os.environ.get("SLUICE_ORACLE_SEED", "1"))
SIZE = int(os.environ.get("SLUICE_ORACLE_SIZE", "1"))

FIELDS = {"name": "PERSON_NAME", "phone": "PHONE", "email": "EMAIL", "nhs": "NHS_NUMBER", "mark": "VRM", "postcode": "POSTCODE",
          "warrant": "WARRANT_NUMBER", "passport": "PASSPORT", "uprn": "UPRN"}
CONTRACT = """
syntax = "proto3";
package oracle.v1;
import "google/protobuf/timestamp.proto";
import "sluice/contract/v1/options.proto";
message Keyed {
  option (sluice.contract.v1.event) = {
    id: "id" time: "at" owner: "tests" purpose: "Tests" lawful_basis: "none" retention: "P1Y" time_zone: "Europe/London"
  };
  string id = 1;
  google.protobuf.Timestamp at = 2;
""" + "".join(f"  string {name} = {number} [(sluice.contract.v1.field).identifier = {kind}];\n"
              for number, (name, kind) in enumerate(FIELDS.items(), 3)) + "}\n"


def base32(data):
    return base64.b32encode(data).decode().rstrip("=").lower()


class Keyring:
    """The file's content, and what derives from it."""

    def __init__(self, path, key_path):
        with open(key_path, encoding="ascii") as file:
            key = bytes.fromhex(file.read().strip())
        with open(path, "rb") as file:
            data = file.read()
        header = b"SLUICE-KEYRING 4\n"
        assert data.startswith(header)
        begin = len(header) + 2
        end = begin + int.from_bytes(data[len(header):begin], "big")
        data_key = AESGCM(key).decrypt(data[begin:begin + 12], data[begin + 12:end], header)
        plain = AESGCM(data_key).decrypt(data[end:end + 12], data[end + 12:], data[:end])
        self.content = self.message("sluice/privacy/v1/keyring.proto", "sluice.privacy.v1.KeyringContent").FromString(plain)

    @staticmethod
    def message(file, name):
        with tempfile.NamedTemporaryFile() as out:
            subprocess.run(["protoc", f"-I{PROTO}", f"--descriptor_set_out={out.name}", "--include_imports", file], check=True)
            files = descriptor_pb2.FileDescriptorSet.FromString(out.read())
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))

    @staticmethod
    def derive(secret, purpose, kind, domain, epoch, size):
        info = "sluice/1" + "".join(f"|{len(part.encode())}:{part}" for part in (purpose, kind, domain, str(epoch)))
        return HKDF(hashes.SHA256(), size, None, info.encode()).derive(secret)

    def epoch(self, domain, number):
        found = next(d for d in self.content.domains if d.name == domain)
        return found.label, next(e for e in found.epoch if e.number == number)

    def epoch_key(self, purpose, domain, number, size):
        _, epoch = self.epoch(domain, number)
        return self.derive(self.content.root_secret + epoch.secret, purpose, "", domain, number, size)

    def pseudonym(self, kind, canonical, domain, number):
        key = self.derive(self.content.root_secret, "kind", kind, "", 0, 32)
        kept = 16 - self.content.check_bytes
        inner = hmac.new(key, canonical.encode(), hashlib.sha256).digest()[:kept].ljust(16, b"\0")
        outer = Cipher(algorithms.AES256(self.epoch_key("domain", domain, number, 32)), modes.ECB()).encryptor().update(inner)
        return f"{self.epoch(domain, number)[0]}{number}-{base32(outer)}"

    def encrypted(self, kind, canonical, domain, number):
        text = canonical.encode()
        size = next(c for c in (32, 64, 128, 256, 512, 1024, 2048, 4096) if c > len(text))
        padded = (text + b"\x80").ljust(size, b"\0")
        sealed = AESSIV(self.epoch_key("encrypt", domain, number, 64)).encrypt(padded, [domain.encode(), kind.encode()])
        return f"{self.epoch(domain, number)[0]}{number}e-{base32(sealed)}"

    def preserved(self, kind, form, size, rank, domain, number):
        """The rank among `size` values of the kind's format of that number."""
        with open(os.path.join(PROTO, "sluice/contract/v1/options.proto"), encoding="utf-8") as file:
            kind_number = int(re.search(rf"^\s*{kind} = (\d+)", file.read(), re.MULTILINE).group(1))
        key, tweak = self.epoch_key("format", domain, number, 32).hex(), bytes([kind_number, form]).hex()
        bits = max(20, (size - 1).bit_length())
        while True:
            rank = int(fastfpe.ff1.encrypt(key, tweak, "01", format(rank, f"0{bits}b")), 2)
            if rank < size:
                return rank


class Keys(unittest.TestCase):
    def setUp(self):
        self.random = random.Random(f"{SEED} {self.id()}")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        os.mkdir(self.at("contracts"))
        self.write("contracts/keyed.proto", CONTRACT)
        self.sluicectl("keys", "init", "--keyring", "keyring", "--key-encryption-key", "kek", "--domain", "alpha=al",
                       "--domain", "beta two=bt")
        self.sluicectl("keys", "rotate", "--keyring", "keyring", "--key-encryption-key", "kek", "--domain", "alpha")
        self.sluicectl("keys", "quarantine", "--private", "quarantine.key", "--public", "quarantine.pub")
        self.keys = Keyring(self.at("keyring"), self.at("kek"))

    def at(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.at(name), "w", encoding="utf-8") as file:
            file.write(text)

    def sluicectl(self, *arguments):
        done = subprocess.run([SLUICECTL, *arguments], cwd=self.folder, capture_output=True, check=False, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def treated(self, treatment, fields, events):
        """By stream: each event's fields. Streams: alpha's newest epoch, the one before, and beta's."""
        streams = {"newest": "alpha", "previous": "alpha@previous", "other": "beta two"}
        self.write("processor.yaml", json.dumps({
            "kafka": {"brokers": ["127.0.0.1:1"], "group": "oracle", "instance": "oracle"},
            "contracts": ["contracts"],
            "pseudonymiser": {"local": {"keyring": "keyring", "key_encryption_key": "kek"}},
            "pipeline": {
                "contract": "oracle.v1.Keyed", "input": {"topic": "raw"},
                "quarantine": {"topic": "quarantine", "public_key": "quarantine.pub"},
                "streams": [{"name": name, "topic": f"clean.{name}", "purpose": "Tests", "domain": domain, "internal": True,
                             "treat": {kind: treatment if field in fields else "drop" for field, kind in FIELDS.items()}}
                            for name, domain in streams.items()]}}))
        self.write("events.jsonl", "".join(
            json.dumps({"id": str(i), "at": "2026-05-05T09:10:11Z", **event}) + "\n" for i, event in enumerate(events)))
        self.sluicectl("run", "processor.yaml", "--in", "events.jsonl", "--out", f"out-{treatment}", "--strict")
        out = {}
        for name in streams:
            with open(self.at(f"out-{treatment}/{name}.jsonl"), encoding="utf-8") as file:
                out[name] = [json.loads(line) for line in file]
            self.assertEqual(len(out[name]), len(events))
        return out

    def digits(self, count):
        return "".join(self.random.choices("0123456789", k=count))

    def nhs(self):
        while True:
            body = "4" + self.digits(8)
            check = 11 - sum(int(d) * w for d, w in zip(body, range(10, 1, -1))) % 11
            if check != 10:
                return body + str(check % 11)

    def event(self):
        """Values that are their own canonical form, except for names: these have none of their spaces."""
        letters = "ABCDEFGHJKLMNOPRSTUVWXY"
        return {"name": self.random.choice(("ann ", "bo ", "zoë ")) + "".join(self.random.choices("abcdefgh", k=self.random.randint(2, 40))),
                "phone": "+447700" + self.digits(6), "email": "".join(self.random.choices("abcxyz", k=6)) + "@example.com",
                "nhs": self.nhs(), "mark": "AB12" + "".join(self.random.choices(letters, k=3)), "postcode": "SW1A 1AA",
                "warrant": str(self.random.randrange(1, 10**6)), "passport": self.digits(9), "uprn": str(self.random.randrange(1, 10**12))}

    WHERE = {"newest": ("alpha", 2), "previous": ("alpha", 1), "other": ("beta two", 1)}

    def check_each(self, treatment, fields, wanted):
        events = [self.event() for _ in range(200 * SIZE)]
        for stream, records in self.treated(treatment, fields, events).items():
            for event, record in zip(events, records):
                for field in fields:
                    canonical = event[field].replace(" ", "") if field == "name" else event[field]
                    self.assertEqual(record[field], wanted(field, canonical, *self.WHERE[stream]), f"{stream} {field}")

    def test_pseudonyms_are_hmac_below_aes(self):
        self.check_each("pseudonymise", list(FIELDS),
                        lambda field, value, domain, epoch: self.keys.pseudonym(FIELDS[field], value, domain, epoch))

    def test_encrypted_values_are_aes_siv(self):
        self.check_each("encrypt", list(FIELDS),
                        lambda field, value, domain, epoch: self.keys.encrypted(FIELDS[field], value, domain, epoch))

    def test_format_preserved_values_are_ff1(self):
        # Formats whose ranks are the numbers themselves: as many as there are values, and the format's place.
        formats = {"warrant": (10**6, 0, 0), "passport": (10**9, 3, 9), "uprn": (10**12, 0, 0)}

        def wanted(field, value, domain, epoch):
            size, form, width = formats[field]
            return str(self.keys.preserved(FIELDS[field], form, size, int(value), domain, epoch)).zfill(width)

        self.check_each("format_preserve", list(formats), wanted)


if __name__ == "__main__":
    unittest.main()
