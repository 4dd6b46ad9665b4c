"""An authority and what it signs, by the openssl command."""
import os
import subprocess


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Certificates:
    """PEM files in a folder; issuing again replaces them, each file at once."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder)
        self.authority = self._path("authority.crt")
        self.issued = 0
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                 "-subj", "/CN=authority", "-keyout", self._path("authority.key"), "-out", self.authority)

    def _path(self, name):
        return os.path.join(self.folder, name)

    def issue(self, name, names, valid=True):
        """(certificate, key, authority). `names`: OpenSSL's form of a subjectAltName."""
        self.issued += 1
        stem = self._path(name)
        write_to = {"crt": stem + ".crt.new", "key": stem + ".key.new"}
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                 f"/CN={name}", "-keyout", write_to["key"], "-out", stem + ".csr")
        with open(stem + ".ext", "w", encoding="utf-8") as file:
            file.write(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
        # An end in the past: signed for minus one day.
        _openssl("x509", "-req", "-in", stem + ".csr", "-CA", self.authority, "-CAkey", self._path("authority.key"),
                 "-set_serial", str(self.issued), "-days", "1" if valid else "-1", "-extfile", stem + ".ext",
                 "-out", write_to["crt"])
        for end, path in write_to.items():
            os.replace(path, f"{stem}.{end}")
        return stem + ".crt", stem + ".key", self.authority

    def keystore(self, name, names):
        """Key and certificate in one file, as Kafka wants them."""
        certificate, key, _ = self.issue(name, names)
        store = self._path(name + ".pem")
        with open(store, "w", encoding="utf-8") as out:
            for path in (key, certificate):
                with open(path, encoding="utf-8") as file:
                    out.write(file.read())
        return store
