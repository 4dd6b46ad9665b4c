#!/usr/bin/env python3
"""The scrubber against a generator that knows only what the documentation claims, not how it is done.

Each text has one identifier planted in prose, in a spelling that docs/guides/identifiers.md and
docs/guides/treatments.md say is found, or none, in prose that only looks alike. What `sluicectl run` made of it tells
which bytes it took. Three bars: what is claimed is covered whole (RECALL), what is taken touches what was planted and is
of its kind (PRECISION), and ordinary prose stays as it is (PRECISION). Each kind, mark and look-alike is held to the bars on
its own from 5,000 texts on, fewer are held to them together.

SLUICE_BINARY_DIR names the build. SLUICE_SCRUB_SAMPLES is the number of texts for each kind, mark and look-alike (100),
SLUICE_ORACLE_SEED chooses others, SLUICE_SCRUB_REPORT=1 prints a line for each, and what was missed.
"""
import collections
import ipaddress
import json
import os
import random
import re
import string
import subprocess
import sys
import tempfile
import unicodedata
import unittest
import urllib.parse

SLUICECTL = os.path.join(os.environ["SLUICE_BINARY_DIR"], "services/ctl/sluicectl")
SEED = int(os.environ.get("SLUICE_ORACLE_SEED", "1"))
SAMPLES = int(os.environ.get("SLUICE_SCRUB_SAMPLES", "100"))
REPORT = os.environ.get("SLUICE_SCRUB_REPORT") == "1"
RECALL, PRECISION = 0.9995, 0.998
ALONE = 5000
BATCH = 20000

CONTRACT = """
syntax = "proto3";
package scrubbed.v1;
import "google/protobuf/timestamp.proto";
import "sluice/contract/v1/options.proto";
message Report {
  option (sluice.contract.v1.event) = {
    id: "id" time: "at" owner: "tests" purpose: "Tests" lawful_basis: "none" retention: "P1Y"
  };
  string id = 1;
  google.protobuf.Timestamp at = 2;
  repeated string people = 3 [(sluice.contract.v1.field).identifier = PERSON_NAME];
  string born = 4 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH];
  string warrant = 5 [(sluice.contract.v1.field).identifier = WARRANT_NUMBER];
  string shoulder = 6 [(sluice.contract.v1.field).identifier = SHOULDER_NUMBER];
  string passport = 7 [(sluice.contract.v1.field).identifier = PASSPORT];
  string notes = 8 [(sluice.contract.v1.field).free_text = true];
}
"""
PIPELINE = {
    "contract": "scrubbed.v1.Report", "input": {"topic": "raw"},
    "quarantine": {"topic": "quarantine", "public_key": "quarantine.pub"},
    "streams": [{"name": "out", "topic": "clean", "purpose": "Tests", "domain": "tests", "internal": True,
                 "format": "json", "fields": {
                     "id": "keep", "at": "drop", "people": "drop", "born": "drop", "warrant": "drop",
                     "shoulder": "drop", "passport": "drop", "notes": {"scrub": {"replace": "placeholders"}}}}]}

# The letter of the Police National Computer's numbers.
CHECK = "ZABCDEFGHJKLMNPQRTUVWXY"

# Names with nothing in common with ordinary words; names that are words; names of two letters.
GIVEN = """Adaeze Aleksandra Bronwyn Cormac Dimitri Efua Farrukh Gwendolyn Hamish Ingrid Jarek Kwabena Lorcan Magdalena
Nkechi Olumide Priyanka Quentin Roisin Svetlana Tariq Ursula Vikram Wilhelmina Xiomara Yusuf Zainab Beatriz Dafydd Eilidh
Françoise Göran Håkon Jürgen Łukasz Zoë Anaïs Chloé Siobhán Þóra""".split()
FAMILY = """Okonkwo Adeyemi Wojciechowska Papadopoulos Thirunavukkarasu Rasmussen Balogun Chaudhry Devereux Eze Fenwick
Gwynne Hoang Ivanovic Jaworski Kiplagat Llewellyn Mbeki Nwosu Ogunleye Pemberton Quispe Ramanathan Szymanski Tshabalala
Umarov Vasquez Whitlock Xhosa Yilmaz Zieliński Müller Sørensen Ibáñez Çelik Nuñez Bäcker Lefèvre Şahin Dvořák""".split()
SHORT_FAMILY = "Roy Kaur Das Rao Oni Cho Eze Sim Ito Zhu".split()
WORD_FAMILY = "May Close Will Rose Banks Young King Hill Grant Price Bond Power Long Short Brown Green".split()
TWO_LETTERS = "Ng Li Wu Xu Ma Yu".split()
PARTED = """O'Brien O'Shaughnessy D'Angelo McDonald McAllister MacLeod FitzGerald Al-Hassan El-Masri St_John De_La_Cruz
van_der_Berg De_Souza Smith-Jones Ben-Ari Lloyd-Hughes Von_Braunau""".split()

# Words of two letters that stand before numbers, and of three that stand behind codes: identifiers that have them as
# letters are claimed in part only.
WORDS = set("""ah am an as at be by cm do eh ex ft go ha he hr if in is it kg km la me mm mr ms my no nr of oh ok on or pc pg pm pp
ps re sc so st to up us we""".split())
NEVER = set("am at by ex no nr pc pm ps sc".split())
WORDS_BEHIND = set("""act age ago aid aim air all and any apr are arm art ask aug bad bag ban bar bat bay bed beg bet big bin bit bow box
boy bst bus but buy cab cad can cap car cat cow cry cup cut dad day dec den did dog dry due ear eat egg end est eye fan far fat
feb few fit fix fly for fox fun gap gas get gmt got gun guy gym had has hat her hey him his hit hot how hrs ice ill its jam jan jar
jaw job jul jun key kid kit lad lap law lay led leg let lid lip log lot low ltd mad man map mar mat may men met mix mob mph mud mug
mum net new nil nor not nov now num nut oct odd off old one our out own pan pay pen per pet pot pub put ran rat raw red ref rob rod
row rub run sat saw say sea sec see sep set she shy sir six ski sky son spy sue sum sun tap tax tea ten the tie tip toe ton too top
toy try two use van via war was way wet who why win won yes yet you yrs""".split())

# Marks that stand beside a value and are no part of it.
MARKS = list("‘’“”‚„‹›«»–—―‐‑‒−…•·‣●▪○′″†‡§¶©®™°№→✓、。，：；（）「」") + [
    "\u00a0", "\u2009", "\u202f", "\u3000", "\u2028", "\u200b", "\u200e", "\u202a", "\u202e", "\u2060", "\u2066",
    "\ufeff", "\u00ad", "😀", "|", "~", "`", "´", "¡", "¿"]

BEFORE = """Caller states that {}|Spoke to the informant, {}|Seen near the shop: {}|He gave {}|Further to the call, {}|
Details ({}|Noted "{}|It was '{}|Second line\n{}|{}|On arrival {}|Reported as {}|Sent to control; {}|Left:{}|1. {}|- {}""".replace(
    "|\n", "|").split("|")
AFTER = """{} and left.|{}, who ran off|{}. Nothing more.|{}; to follow|{})|{}"|{}'|{}\nNext line|{}|{} was at home|{}?|{}!|
{} - no trace|{} / no reply|{}: checked|{} because of rain""".replace("|\n", "|").split("|")

FOLLOWERS = """road street lane avenue close drive way court house gardens place square terrace crescent mews grove park
green row walk view rise bridge station estate farm common left ran drove walked said stated was had and or then went home
away off over back out in at on with from near by to drives houses closed parked""".split()


def letter(number):
    return CHECK[number % 23]


def digits(rng, count):
    return "".join(rng.choices(string.digits, k=count))


def grouped(rng, text, sizes, separators):
    """`text` in groups, one separator between them all."""
    groups, at = [], 0
    for size in sizes:
        groups.append(text[at:at + size])
        at += size
    return rng.choice(separators).join(groups)


class Sample:
    """A text, what is planted in it, and the event's own fields."""

    __slots__ = ("before", "value", "after", "kind", "event", "label")

    def __init__(self, before, value, after, kind, event=None, label=""):
        self.before, self.value, self.after, self.kind = before, value, after, kind
        self.event = event or {}
        self.label = label

    @property
    def text(self):
        return self.before + self.value + self.after


class Values:
    """Values of each kind as the documentation says that a text may spell them: (words before, value)."""

    def __init__(self, rng):
        self.rng = rng

    # Phones.

    def national(self):
        rng = self.rng
        sort = rng.randrange(5)
        if sort < 2:
            return "07" + rng.choice("1345789") + digits(rng, 8), (5, 6)
        if sort == 2:
            return "02" + rng.choice(["07", "08", "31", "41", "91"]) + digits(rng, 7), (3, 4, 4)
        if sort == 3:
            return "01" + rng.choice("234567") + rng.choice("23456789") + digits(rng, 1) + digits(rng, 6), (5, 6)
        return rng.choice(["0300", "0345", "0800", "0845"]) + digits(rng, 7), (4, 3, 4)

    def phone(self):
        rng = self.rng
        number, sizes = self.national()
        sort = rng.randrange(15)
        if sort == 0:
            return "", number
        if sort == 1:
            return "", grouped(rng, number, sizes, [" ", "-", ".", "/", "–", "\u00a0", "  ", "\t", "\n", "‑"])
        if sort == 2:
            finer = {(5, 6): (5, 3, 3), (3, 4, 4): (3, 4, 2, 2), (4, 3, 4): (4, 3, 2, 2)}[sizes]
            return "", grouped(rng, number, finer, [" ", "-", "."])
        if sort == 3:
            return "", "(" + number[:sizes[0]] + ") " + number[sizes[0]:]
        if sort == 4:
            return "", rng.choice(["+44", "+44 ", "0044", "0044 ", "+44-"]) + number[1:]
        if sort == 5:
            return "", "+44 " + grouped(rng, number[1:], (sizes[0] - 1,) + sizes[1:], [" ", "-"])
        if sort == 6:
            return "", "+44 (0)" + grouped(rng, number[1:], (sizes[0] - 1,) + sizes[1:], [" "])
        if sort == 7:
            return "", rng.choice([" ", "-", "."]).join(number)
        if sort == 8:
            return rng.choice(["tel", "Tel:", "tel:", "mob", "m:", "phone:"]), number
        if sort == 9:
            return rng.choice(["tel ", "phone ", "mobile ", "Tel: ", "Phone: ", "mobile: "]), number[1:]
        if sort == 10:
            return "", number.replace("0", rng.choice("Oo"))
        if sort == 11:
            extension = digits(rng, rng.randint(2, 4))
            between = rng.choice([" ext ", " ext. ", " x", "x", " extension ", " ext"])
            return "", grouped(rng, number, sizes, [" ", ""]) + between + extension
        if sort == 12:
            return "tel:", "+44" + number[1:]
        if sort == 13:
            foreign = rng.choice([("+33", "6" + digits(rng, 8), (1, 2, 2, 2, 2)), ("+353", "87" + digits(rng, 7), (2, 3, 4)),
                                  ("+48", "601" + digits(rng, 6), (3, 3, 3)), ("+1", "212555" + digits(rng, 4), (3, 3, 4)),
                                  ("0049", "151" + digits(rng, 8), (3, 4, 4)), ("00353", "87" + digits(rng, 7), (2, 3, 4))])
            return "", foreign[0] + rng.choice([" ", ""]) + grouped(rng, foreign[1], foreign[2], [" ", "", "-"])
        return "", "".join(chr(ord(c) - ord("0") + 0xff10) for c in number)

    # E-mail addresses.

    def email(self):
        rng = self.rng
        word = lambda: "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9)))
        local = rng.choice([word, lambda: word() + "." + word(), lambda: word() + digits(rng, 2),
                            lambda: word() + "+" + word(), lambda: word() + "_" + word(), lambda: word() + "-" + word()])()
        host = word() + rng.choice([".example", ".example.org", "-" + word() + ".example", "." + word() + ".test"])
        sort = rng.randrange(9)
        if sort == 0:
            return "", f'"{local} {word()}"@{host}'
        if sort == 1:
            return "", f"{local}@{rng.choice(['bücher', 'münchen', 'пример', 'faß', 'ελλάδα'])}.example"
        if sort == 2:
            return "", rng.choice(["jörg", "zoë", "łucja"]) + f"{digits(rng, 1)}@{host}"
        if sort == 3:
            return f"https://{word()}.test/view?u=", urllib.parse.quote(f"{local}@{host}", safe="")
        if sort == 4:
            return "mailto:", f"{local}@{host}"
        if sort == 5:
            return "", f"bounce+{local}={host}@lists.example"
        if sort == 6:
            return "", f"{local}@{host}".upper()
        return "", f"{local}@{host}"

    # Numbers of criminal records.

    def pnc(self):
        rng = self.rng
        year = rng.choice([*range(1950, 2026)])
        serial = rng.randint(1, 9999999)
        check = letter(int(f"{year % 100:02d}{serial:07d}"))
        short = year < 1950 or f"{year % 100:02d}"
        value = rng.choice([f"{year}/{serial:07d}{check}", f"{year}/{serial}{check}", f"{year}{serial:07d}{check}",
                            f"{short}/{serial}{check}", f"{short}/{serial:07d}{check}", f"{year} / {serial} {check}",
                            f"{short} / {serial} {check}"])
        if rng.random() < 0.2:
            return rng.choice(["PNC ", "PNC: ", "PNC ID ", "PNCID "]), f"{short}{serial}{check}"
        return "", value.lower() if rng.random() < 0.3 else value

    def cro(self):
        rng = self.rng
        year = rng.randint(0, 99)
        if rng.random() < 0.3:
            serial = rng.randint(1, 999999)
            value = f"SF{year:02d}/{serial}{letter(int(f'{year:02d}{serial}'))}"
            return "", value.lower() if rng.random() < 0.3 else value
        serial = rng.randint(1, 999999)
        check = letter(int(f"{year:02d}{serial:06d}"))
        if rng.random() < 0.25:
            return rng.choice(["CRO ", "CRO: ", "CRO no ", "CRO number "]), f"{serial:06d}{year:02d}{check}"
        value = rng.choice([f"{serial:06d}/{year:02d}{check}", f"{serial}/{year:02d}{check}", f"{serial} / {year:02d} {check}"])
        return "", value.lower() if rng.random() < 0.3 else value

    def asn(self):
        rng = self.rng
        year, force, unit = rng.randint(1, 26), rng.randint(1, 98), "".join(rng.choices(string.ascii_uppercase, k=2))
        system, serial = rng.randint(1, 12), rng.randint(1, 99999999)
        check = letter(int(f"{force:02d}{system:02d}{year:02d}{serial:011d}"))
        value = rng.choice([f"{year:02d}{force:02d}{unit}{system:02d}{serial:011d}{check}",
                            f"{year:02d}/{force:02d}{unit}/{system:02d}/{serial}{check}",
                            f"{year:02d}/{force:02d}{unit}/{system:02d}/{serial:011d}{check}"])
        return "", value.lower() if rng.random() < 0.2 else value

    def nhs(self):
        rng = self.rng
        while True:
            nine = str(rng.randint(400000000, 799999999))
            check = -sum(int(c) * (10 - i) for i, c in enumerate(nine)) % 11
            if check < 10:
                break
        number = nine + str(check)
        sort = rng.randrange(4)
        if sort == 0:
            return "", number
        if sort == 1:
            return "", grouped(rng, number, (3, 3, 4), [" ", "-", ".", "/", "–", "\u00a0", "\n", "\t", "  "])
        if sort == 2:
            return "", rng.choice([" ", "-", "."]).join(number)
        return rng.choice(["NHS ", "NHS: ", "NHS number ", "NHS no. "]), grouped(rng, number, (3, 4, 3), [" ", "-"])

    def nino(self):
        rng = self.rng
        while True:
            prefix = rng.choice("ABCEGHJKLMNOPRSTWXYZ") + rng.choice("ABCEGHJKLMNPRSTWXYZ")
            if prefix not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ"):
                break
        number, suffix = digits(rng, 6), rng.choice("ABCD")
        pairs = [number[:2], number[2:4], number[4:]]
        value = rng.choice([f"{prefix}{number}{suffix}", f"{prefix} {' '.join(pairs)} {suffix}", f"{prefix}-{'-'.join(pairs)}-{suffix}",
                            f"{prefix} {number}{suffix}", f"{prefix} {number} {suffix}", f"{prefix} {' '.join(pairs)}{suffix}",
                            f"{prefix}{number}", f"{prefix} {' '.join(pairs)}"])
        if rng.random() < 0.15:
            return rng.choice(["NI ", "NINO ", "NI: ", "NINO: ", "National Insurance ", "national insurance number "]), f"{prefix} {number}"
        small = rng.random() < 0.2
        apart = value[2] in " -"
        if apart and prefix.lower() in (WORDS if small else NEVER):
            return self.nino()
        return "", value.lower() if small else value

    def vrm(self):
        rng = self.rng
        pick = lambda letters, count: "".join(rng.choices(letters, k=count))
        body, last = "ABCDEFGHJKLMNOPRSTUVWXY", "ABCDEFGHJKLMNOPRSTUVWXYZ"
        sort = rng.randrange(6)
        age = rng.choice([*range(2, 27), *range(51, 76)])
        if sort < 3:
            parts = (pick(body, 2), f"{age:02d}", pick(last, 3))
            word = parts[2].lower() in WORDS_BEHIND
            value = rng.choice(["{}{}{}", "{}{} {}", "{}{}-{}", "{}{}  {}", "{} {} {}", "{}{} {}"]).format(*parts)
            if sort == 2 and rng.random() < 0.3:
                value = value.replace("O", "0", 1)
        elif sort == 3:
            value = rng.choice(["{}{}{}", "{}{} {}"]).format(rng.choice("ABCDEFGHJKLMNPRSTVWXY"), rng.randint(21, 999),
                                                             pick(body, 1) + pick(last, 2))
        elif sort == 4:
            value = rng.choice(["{}{}{}", "{} {}{}"]).format(pick(last, 3), rng.randint(21, 999), rng.choice("ABCDEFGHJKLMNPRSTVWXY"))
        else:
            value = rng.choice(["{} {}".format(rng.randint(1, 9999), pick(body, 2)), "{} {}".format(pick(body, 2), rng.randint(1, 9999)),
                                "{}{}".format(pick(body, 3), rng.randint(1, 999)),
                                "{}{}".format(rng.choice("ABCDEFGHJKLNOPRSTUVWXY") + rng.choice("IZ") + rng.choice(body), rng.randint(1, 9999))])
            return rng.choice(["vehicle ", "index ", "Index: ", "reg ", "VRM ", "vehicle index ", "registration "]), value
        gaps = len(re.findall("[- ]+", value))
        if gaps == 0 or (gaps == 1 and sort < 3 and not word):
            return "", value.lower() if rng.random() < 0.2 else value
        return "", value

    def licence(self):
        rng = self.rng
        surname = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(2, 5))).ljust(5, "9")
        month = rng.randint(1, 12) + rng.choice((0, 50))
        middle = f"{rng.randint(0, 9)}{month:02d}{rng.randint(1, 28):02d}{rng.randint(0, 9)}"
        end = rng.choice(string.ascii_uppercase) + rng.choice(string.ascii_uppercase + "9") + rng.choice("9876") + "".join(
            rng.choices(string.ascii_uppercase, k=2))
        value = rng.choice(["{}{}{}", "{} {} {}"]).format(surname, middle, end)
        return "", value.lower() if rng.random() < 0.2 else value

    def postcode(self):
        rng = self.rng
        area, second = rng.choice("ABCDEFGHIJKLMNOPRSTUWYZ"), rng.choice("ABCDEFGHKLMNOPQRSTUVWXY")
        outward = rng.choice([f"{rng.choice('BEGLMNSW')}{rng.randint(1, 9)}", f"{rng.choice('BEGLMNSW')}{rng.randint(10, 99)}",
                              f"{area}{second}{rng.randint(1, 9)}", f"{area}{second}{rng.randint(10, 99)}",
                              f"{rng.choice('EWNS')}1{rng.choice('ABCDEFGHJKPSTUW')}", f"SW1{rng.choice('ABEHMNPRVWXY')}"])
        inward = str(rng.randint(0, 9)) + "".join(rng.choices("ABDEFGHJLNPQRSTUWXYZ", k=2))
        outward = outward.replace("Q", "S") if outward[0] in "QVX" else outward
        value = rng.choice([f"{outward} {inward}"] * 4 + [f"{outward}{inward}", f"{outward}-{inward}", f"{outward}  {inward}",
                                                          f"{outward}\n{inward}", f"{outward}\u00a0{inward}",
                                                          f"{outward} {inward[0]} {inward[1:]}"])
        if rng.random() < 0.05:
            return "", rng.choice([f"BFPO {rng.randint(1, 999)}", "FIQQ 1ZZ", "ASCN 1ZZ", "STHL 1ZZ", "TDCU 1ZZ"])
        small = inward.lower() not in ("1st", "2nd", "3rd") and not re.fullmatch("[04-9]th", inward.lower())
        if outward[1].isdigit():
            small = small and inward[1:].lower() not in ("ft", "hr", "lb", "yr", "pt", "hz", "st", "nd", "rd", "th")
        return "", value.lower() if small and value[-3] != " " and rng.random() < 0.2 else value

    def address(self):
        rng = self.rng
        if rng.random() < 0.4:
            return "", str(ipaddress.IPv4Address(rng.randint(0x01000000, 0xdfffffff)))
        number = rng.getrandbits(128)
        if rng.random() < 0.6:
            number = 0x20010db8 << 96 | rng.getrandbits(rng.choice([4, 16, 32, 64]))
        value = ipaddress.IPv6Address(number)
        text = rng.choice([value.compressed, value.exploded, value.compressed.upper()])
        return "", rng.choice([text, text, text, "[" + text + "]"]).strip("[]")

    def uprn(self):
        return self.rng.choice(["UPRN ", "UPRN: ", "uprn "]), str(self.rng.randint(10000, 999999999999))

    def passport_behind_its_word(self):
        rng = self.rng
        return rng.choice(["passport ", "Passport: ", "passport no ", "passport number "]), rng.choice(
            [digits(rng, 9), rng.choice(string.ascii_uppercase) + digits(rng, 8)])

    def shoulder_behind_a_rank(self):
        rng = self.rng
        return rng.choice(["PC ", "PS ", "Sgt ", "Insp ", "Pc ", "DC "]), f"{rng.randint(1, 9999)}" + rng.choice(
            ["AW", "CE", "NW", "sn", "EA", " AS"])

    # Dates of birth.

    MONTHS = "January February March April May June July August September October November December".split()

    def spellings_of_a_date(self, year, month, day, two=True):
        name = self.MONTHS[month - 1]
        ordinal = f"{day}" + ("th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th"))
        every = [f"{year}-{month:02d}-{day:02d}", f"{day:02d}/{month:02d}/{year}", f"{day}/{month}/{year}", f"{day:02d}.{month:02d}.{year}",
                 f"{day:02d}-{month:02d}-{year}", f"{day} {name} {year}", f"{day} {name[:3]} {year}", f"{ordinal} {name} {year}",
                 f"{name} {day}, {year}", f"{name} {ordinal}, {year}", f"{day} {name.upper()} {year}", f"{year}-{month}-{day}"]
        if two:
            every += [f"{day:02d}/{month:02d}/{year % 100:02d}", f"{day}.{month}.{year % 100:02d}", f"{day:02d}{month:02d}{year % 100:02d}",
                      f"{day:02d}{month:02d}{year}", f"{day} {name[:3]} {year % 100:02d}", f"{day} {name[:3]} '{year % 100:02d}"]
        return every

    def date(self, first=1930, last=2014):
        rng = self.rng
        return rng.randint(first, last), rng.randint(1, 12), rng.randint(1, 28)

    def birth_that_says_so(self):
        rng = self.rng
        return rng.choice(["DOB ", "dob: ", "D.O.B. ", "born ", "born on ", "date of birth ", "DoB: "]), rng.choice(
            self.spellings_of_a_date(*self.date(1930, 2024)))

    def old_date(self):
        return "", self.rng.choice(self.spellings_of_a_date(*self.date(1930, 2015), two=False))


# The shapes of names that are claimed, of the event's own people.

def unmarked(text):
    return text.replace("_", " ")


def spelt(rng, name):
    """A spelling of one name that folds to it."""
    sort = rng.randrange(10)
    if sort == 0:
        return name.upper()
    if sort == 1:
        return unicodedata.normalize("NFD", name)
    if sort == 2:
        return "".join(chr(ord(c) + 0xfee0) if "!" < c < "~" else c for c in name)
    if sort == 3:
        at = rng.randint(1, len(name) - 1)
        return name[:at] + rng.choice(["\u00ad", "\u200b", "\u200c", "\u2060", "\ufeff"]) + name[at:]
    if sort == 4:
        return rng.choice(["\u202a", "\u202d", "\u2066"]) + name + rng.choice(["\u202c", "\u2069"])
    if sort == 5:
        return name.lower()
    return name


class Names:
    def __init__(self, rng):
        self.rng = rng

    def person(self, family):
        given = self.rng.choice(GIVEN)
        return given, family, {"people": [f"{given} {unmarked(family)}"]}

    def whole(self):
        rng = self.rng
        given, family, event = self.person(rng.choice(FAMILY))
        given, family = spelt(rng, given), spelt(rng, family)
        value = rng.choice([f"{given} {family}", f"{family}, {given}", f"{family} {given}", f"{given}  {family}", f"{given}\n{family}",
                            f"{given}\u00a0{family}", f"{given}{family}", f"{given}-{family}"])
        return "", value, "", event

    def alone(self):
        rng = self.rng
        given, family, event = self.person(rng.choice(FAMILY))
        return "", spelt(rng, rng.choice([given, family])), rng.choice(["", "", "'s", "’s"]), event

    def before_a_word(self):
        rng = self.rng
        _, family, event = self.person(rng.choice(FAMILY + SHORT_FAMILY[:6]))
        return rng.choice(["", "Saw ", "the ", "with ", "12 "]), family, " " + rng.choice(FOLLOWERS), event

    def parted(self):
        rng = self.rng
        _, family, event = self.person(rng.choice(PARTED))
        parts = re.split(r"[-_']|(?<=^Mc)|(?<=^Mac)|(?<=^Fitz)", family)
        value = rng.choice([
            unmarked(family), unmarked(family), " ".join(parts), "".join(parts), "-".join(parts),
            unmarked(family).replace("'", rng.choice("’ʼ´`′＇")), unmarked(family).replace("-", rng.choice("‐‑–—")),
            parts[0] + "".join(part.lower() for part in parts[1:]), unmarked(family).upper(), "".join(parts).upper()])
        return "", value, rng.choice(["", "'s"]), event

    def swapped(self):
        rng = self.rng
        while True:
            family = rng.choice([name for name in FAMILY if len(name) >= 5])
            at = rng.randint(1, len(family) - 2)
            if family[at] != family[at + 1] and family.isascii():
                break
        _, _, event = self.person(family)
        return "", family[:at] + family[at + 1] + family[at] + family[at + 2:], "", event

    def three_letters(self):
        rng = self.rng
        family = rng.choice([name for name in SHORT_FAMILY if len(name) >= 3])
        _, _, event = self.person(family)
        return "", rng.choice([family, family.lower(), family.upper()]), "", event

    def two_letters(self):
        rng = self.rng
        family = rng.choice(TWO_LETTERS)
        given, _, event = self.person(family)
        before, value = rng.choice([("", family), ("", family.upper()), ("Mr ", family), ("PC ", family), ("DS ", family.upper()),
                                    ("Ms ", family.lower()), ("", f"{given} {family}"), ("", f"{given.lower()} {family.lower()}")])
        return before, value, "", event

    def a_word(self):
        rng = self.rng
        family = rng.choice(WORD_FAMILY)
        given, _, event = self.person(family)
        before, value = rng.choice([("saw ", family), ("Mr ", family), ("Sgt ", family), ("Mrs ", family.lower()), ("", f"{given} {family}"),
                                    ("", f"{given.lower()} {family.lower()}"), ("", f"{family}, {given}"), ("", f"{given} {family}".upper())])
        return before, value, "", event


# Prose that only looks alike.

def looks_alike(rng):
    d = lambda low, high: rng.randint(low, high)
    two = lambda low, high: f"{rng.randint(low, high):02d}"
    hour, minute, day, month = two(0, 23), two(0, 59), two(1, 28), two(1, 12)
    upper = lambda count: "".join(rng.choices(string.ascii_uppercase, k=count))
    return {
        "time": rng.choice([f"at {hour}:{minute}", f"at {hour} {minute} {two(0, 59)}", f"{hour}{minute} hrs", f"at {hour}.{minute}",
                            f"{hour}:{minute}:{two(0, 59)}", f"{hour}{minute}hrs", f"between {hour}{minute} and {hour}{minute}"]),
        "day": rng.choice([f"on {day}/{month}/2026", f"on {day}{month}26", f"{day}.{month}.2025", f"{d(1, 28)} March 2026", f"{day}/{month}/26",
                           f"2026-{month}-{day}", f"March {d(1, 28)}, 2026", f"on {day}{month}2026"]),
        "collar number": rng.choice([f"PC {d(1000, 999999)}", f"PC{d(100, 9999)}", f"officer {d(100, 9999)}", f"collar {d(100, 9999)}"]),
        "grid reference": rng.choice([f"TQ {d(10, 99)} {d(10, 99)}", f"TQ {d(100, 999)} {d(100, 999)}", f"TQ{d(100000, 999999)}",
                                      f"grid TQ {d(10000, 99999)} {d(10000, 99999)}"]),
        "exhibit": f"exhibit {upper(d(2, 3))}{rng.choice(['/', '-', ''])}{d(1, 40)}",
        "section": rng.choice([f"section {d(1, 136)}", f"s.{d(1, 60)}(1)(a)", f"s{d(1, 60)} PACE", f"section {d(1, 9)}.{d(1, 9)}.{d(1, 9)}.{d(1, 9)}",
                               f"paragraph {d(1, 9)}.{d(1, 9)}.{d(1, 9)}.{d(1, 9)}"]),
        "CAD reference": rng.choice([f"CAD {d(1, 9999)}/{day}MAR26", f"CAD {d(1, 9999)} of {day} March", f"CAD{d(100, 9999)}",
                                     f"CRIS {d(1000000, 9999999)}/26"]),
        "money": rng.choice([f"£{d(1, 9)},{d(100, 999)}.{two(0, 99)}", f"£{d(20, 999)}", f"{d(1, 9)},{d(100, 999)},{d(100, 999)} pounds",
                             f"EUR {d(1, 9)}.{d(100, 999)},{two(0, 99)}", f"£{d(10, 99)} {d(100, 999)}"]),
        "version": rng.choice([f"Version {d(1, 20)}.{d(0, 9)}.{d(0, 9)}.{d(0, 9)}", f"v{d(1, 9)}.{d(0, 9)}.{d(0, 9)}",
                               f"version {d(1, 20)}.{d(0, 9)}.{d(0, 99)}", f"firmware {d(1, 20)}.{d(0, 9)}.{d(0, 9)}.{d(0, 99)}"]),
        "colour": "#" + "".join(rng.choices("0123456789abcdef", k=6)),
        "measure": rng.choice([f"{d(4, 6)}'{d(0, 11)}\"", f"{d(4, 6)}ft {d(0, 11)}", f"{d(150, 200)} cm", f"{d(50, 120)}kg", f"{d(1, 99)}%",
                               f"{d(30, 120)} mph", f"{d(1, 9)}.{d(1, 9)} miles", f"{d(1, 400)} metres", f"{d(20, 200)} µg/100 ml"]),
        "road": rng.choice([f"the A{d(1, 999)}", f"M{d(1, 69)} junction {d(1, 30)}", f"the B{d(1000, 9999)}", f"bus {d(1, 499)}", f"the N{d(1, 99)} bus",
                            f"platform {d(1, 12)}", f"the A{d(1, 9)}(M)"]),
        "house": rng.choice([f"flat {d(1, 99)}{rng.choice('ABC')}", f"{d(1, 300)} High Street", f"room {d(1, 9)}.{two(1, 40)}",
                             f"block {rng.choice('ABC')}, floor {d(1, 9)}", f"unit {d(1, 40)}"]),
        "reference": rng.choice([f"crime reference {d(1000000, 9999999)}/26", f"ref {upper(2)}/{d(1000, 9999)}/26", f"URN 01{upper(2)}{d(10000, 99999)}26",
                                 f"invoice {d(10000, 99999)}", f"order {d(100000, 999999)}-{d(1, 9)}", f"bail {d(1, 99)}/{d(100, 999)}"]),
        "device": rng.choice([f"iPhone {d(6, 16)} Pro", f"Galaxy S{d(8, 25)}", f"channel {d(1, 99)}", f"serial SN-{d(100000, 999999)}", f"{d(16, 512)} GB",
                              f"camera {d(1, 400)}", f"model XK{d(100, 999)}", "USB 3.0", "Windows 11", "MP3 player", "CS gas", "9mm round"]),
        "age": rng.choice([f"aged {d(5, 90)}", f"{d(20, 60)} to {d(61, 80)} years", f"{d(2, 9)} males", f"IC{d(1, 6)} male", f"{d(20, 60)}yrs"]),
        "long number": rng.choice([f"IMEI {d(10**14, 10**15 - 1)}", f"total {d(10**5, 10**6 - 1)}", f"batch {d(10**7, 10**8 - 1)}",
                                   f"file {d(10**3, 10**4 - 1)} {d(10**3, 10**4 - 1)}", f"{d(1, 9)} {d(10, 99)} {d(100, 999)}"]),
        "prose": rng.choice([
            "he may close the gate and will be long gone", "to drive at this rate is a short way to go", "it was a green door with a brown rose on it",
            "no reply at the time so a card was left for the owner", "we may be able to grant it, at a price", "a young man by the hill with a power tool",
            "the king size bed, the bond paper and the banks of the river", "Is it a B or a C, or 2 of 3", "so it is up to us to do it as we go",
            "Did he go at 3 or at 4 in the am", "one two three to four", "O level, A level or E number", "Ward 7 North, bed 4", "I am on it as of now",
            "AM and PM shifts, ID and CV seen", "Mon to Fri, 9 to 5", "Op Dragon 2 began", "nos 3 to 5 and 7 to 9"]),
    }


def context(rng):
    return rng.choice(BEFORE).replace("{}", ""), rng.choice(AFTER).replace("{}", "")


PEOPLE = [["Bronislawa Ketterick"], ["Tadhg Mulcahy-Frobisher", "Oyinkansola Adebisi"], ["Ann May"], ["Ilse Close", "John Will"], ["Yan Ng"]]


class Scrub(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        os.mkdir(cls.at("contracts"))
        with open(cls.at("contracts/scrubbed.proto"), "w", encoding="utf-8") as file:
            file.write(CONTRACT)
        with open(cls.at("pipeline.yaml"), "w", encoding="utf-8") as file:
            file.write("".join(f"{key}: {json.dumps(value)}\n" for key, value in PIPELINE.items()))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def at(cls, name):
        return os.path.join(cls.folder.name, name)

    def setUp(self):
        self.random = random.Random(f"{SEED} {self.id()}")

    def scrubbed(self, samples):
        with open(self.at("events.jsonl"), "w", encoding="utf-8") as file:
            for i, sample in enumerate(samples):
                file.write(json.dumps({"id": str(i), "at": "2026-05-05T09:10:11Z", **sample.event, "notes": sample.text}) + "\n")
        with tempfile.TemporaryDirectory() as out:
            done = subprocess.run([SLUICECTL, "run", self.at("pipeline.yaml"), "--throwaway-keys", "--in", self.at("events.jsonl"), "--out",
                                   out, "--contracts", self.at("contracts")], capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr.decode())
            with open(os.path.join(out, "out.jsonl"), encoding="utf-8") as file:
                texts = {record["id"]: record.get("notes", "") for record in map(json.loads, file)}
        self.assertEqual(len(texts), len(samples), "each event has a result")
        return [texts[str(i)] for i in range(len(samples))]

    PLACEHOLDER = re.compile(r"\[([A-Z_]{3,})\]")

    @classmethod
    def taken(cls, text, out):
        """The spans of `text` that `out` has placeholders for, with their kinds."""
        if text == out:
            return []
        pieces = cls.PLACEHOLDER.split(out)
        pattern = re.escape(pieces[0]) + "".join("(.+?)" + re.escape(pieces[i + 1]) for i in range(1, len(pieces), 2))
        match = re.fullmatch(pattern, text, re.DOTALL)
        if match is None:
            return [(0, len(text), "?")]
        return [(*match.span(i + 1), kind) for i, kind in enumerate(pieces[1::2])]

    def judge(self, groups):
        """Holds each group of samples to the bars."""
        everything = [sample for _, samples in groups for sample in samples]
        texts = []
        for start in range(0, len(everything), BATCH):
            texts += self.scrubbed(everything[start:start + BATCH])
        out = iter(texts)
        self.counts = collections.Counter()
        below = [line for name, samples in groups if (line := self.judge_group(name, [(sample, next(out)) for sample in samples]))]
        planted, missed, right, wrong = (self.counts[what] for what in ("planted", "missed", "right", "wrong"))
        if missed > (1 - RECALL) * planted or wrong > (1 - PRECISION) * max(right + wrong, len(everything)):
            below.append(f"together: {missed} of {planted} missed, {wrong} wrong beside {right}")
        self.assertEqual(below, [], "below the bar; SLUICE_SCRUB_REPORT=1 shows texts")

    def judge_group(self, name, results):
        """What is wrong with a group, in a line."""
        found = right = wrong = 0
        missed, mistaken = [], []
        planted = sum(1 for sample, _ in results if sample.value)
        for sample, out in results:
            begin, end = len(sample.before), len(sample.before) + len(sample.value)
            covered = set()
            for first, last, kind in self.taken(sample.text, out):
                covered.update(range(first, last))
                # More than the value is no fault where it is no letter or digit.
                beyond = sample.text[first:min(last, begin)] + sample.text[max(first, end):last]
                beyond = beyond.removesuffix("'s").removesuffix("’s")
                touches = sample.value and first < end and last > begin
                if touches and kind == sample.kind and not any(c.isalnum() for c in beyond):
                    right += 1
                else:
                    wrong += 1
                    mistaken.append((sample.text, out))
            if sample.value:
                if all(i in covered for i in range(begin, end) if sample.text[i].isalnum()):
                    found += 1
                else:
                    missed.append((sample.text, out))
        recall = found / planted if planted else 1
        precision = right / (right + wrong) if planted and right + wrong else 1 - wrong / len(results)
        if REPORT:
            print(f"{name}: {len(results)} texts, recall {recall:.5f}, precision {precision:.5f}", file=sys.stderr)
            for what, texts in (("missed", missed), ("mistaken", mistaken)):
                for text, out in texts[:int(os.environ.get("SLUICE_SCRUB_SHOW", "8"))]:
                    print(f"  {what}: {ascii(text)} -> {ascii(out)}", file=sys.stderr)
        self.counts.update(planted=planted, missed=len(missed), right=right, wrong=wrong)
        if len(results) >= ALONE and (recall < RECALL or precision < PRECISION):
            return f"{name}: recall {recall:.5f} ({len(missed)} missed), precision {precision:.5f} ({wrong} wrong)"
        return None

    def others(self):
        return {"people": self.random.choice(PEOPLE), "born": "1979-08-17"}

    KINDS = {
        "PHONE": "phone", "EMAIL": "email", "PNC_ID": "pnc", "CRO": "cro", "ASN": "asn", "NHS_NUMBER": "nhs", "NINO": "nino", "VRM": "vrm",
        "DRIVING_LICENCE": "licence", "POSTCODE": "postcode", "IP_ADDRESS": "address", "UPRN": "uprn", "PASSPORT": "passport_behind_its_word",
        "SHOULDER_NUMBER": "shoulder_behind_a_rank"}
    NAMES = "whole alone before_a_word parted swapped three_letters two_letters a_word".split()

    def plant(self, kind, words="", value=None):
        rng = self.random
        values = Values(rng)
        if value is None:
            words, value = getattr(values, self.KINDS[kind])()
        before, after = context(rng)
        if words and before and before[-1].isalnum():
            before += " "
        return Sample(before + words, value, after, kind, self.others())

    def test_each_kind_in_each_spelling(self):
        self.judge([(kind, [self.plant(kind) for _ in range(SAMPLES)]) for kind in self.KINDS])

    def test_dates_of_birth(self):
        rng = self.random
        values = Values(rng)
        own = []
        for _ in range(SAMPLES):
            date = values.date(1930, 2024)
            sample = self.plant("DATE_OF_BIRTH", "", rng.choice(values.spellings_of_a_date(*date)))
            sample.event["born"] = "%04d-%02d-%02d" % date
            own.append(sample)
        self.judge([("births that say so", [self.plant("DATE_OF_BIRTH", *values.birth_that_says_so()) for _ in range(SAMPLES)]),
                    ("old dates", [self.plant("DATE_OF_BIRTH", *values.old_date()) for _ in range(SAMPLES)]),
                    ("the event's own birth", own)])

    def test_own_numbers(self):
        rng = self.random
        groups = []
        for kind, field, make in (
                ("WARRANT_NUMBER", "warrant", lambda: rng.choice("123456789") + digits(rng, rng.randint(3, 5))),
                ("SHOULDER_NUMBER", "shoulder", lambda: str(rng.randint(10, 9999)) + rng.choice(["AW", "CE", "NW"])),
                ("PASSPORT", "passport", lambda: digits(rng, 9))):
            samples = []
            for _ in range(SAMPLES):
                value = make()
                sample = self.plant(kind, "", value)
                sample.event[field] = value
                samples.append(sample)
            groups.append((f"own {kind}", samples))
        self.judge(groups)

    def test_names_of_the_events_own_people(self):
        names = Names(self.random)
        groups = []
        for shape in self.NAMES:
            samples = []
            for _ in range(SAMPLES):
                words, value, behind, event = getattr(names, shape)()
                before, after = context(self.random)
                if words and before and before[-1].isalnum():
                    before += " "
                samples.append(Sample(before + words, value, behind + after, "PERSON_NAME", event))
            groups.append((f"names {shape}", samples))
        self.judge(groups)

    def test_beside_each_mark(self):
        rng = self.random
        names = Names(rng)
        # A word that says what a number is has to stand beside it.
        kinds = [kind for kind in self.KINDS if kind not in ("UPRN", "PASSPORT", "SHOULDER_NUMBER")]
        groups = []
        for mark in MARKS:
            samples = []
            while len(samples) < SAMPLES:
                if rng.random() < 0.3:
                    kind = "PERSON_NAME"
                    words, value, _, event = getattr(names, rng.choice(["whole", "alone", "parted"]))()
                    sample = Sample(words, value, "", "PERSON_NAME", event)
                else:
                    words, value = getattr(Values(rng), self.KINDS[kind := rng.choice(kinds)])()
                    if words:
                        continue
                    sample = Sample("", value, "", kind, self.others())
                where = rng.randrange(3)
                # A word that a dash or nothing joins to an address may be part of it.
                joined = kind != "EMAIL"
                sample.before = rng.choice(["Seen ", "", "left" * joined]) + mark if where != 1 else rng.choice(["Seen ", ""])
                if where != 0:
                    sample.after = mark + rng.choice([" Nothing more.", "", "then left" * joined])
                samples.append(sample)
            groups.append(("beside U+%04X" % ord(mark[0]), samples))
        self.judge(groups)

    def test_prose_that_only_looks_alike(self):
        rng = self.random
        groups = collections.defaultdict(list)
        for _ in range(SAMPLES):
            for name, text in looks_alike(rng).items():
                before, after = context(rng)
                groups[f"prose: {name}"].append(
                    Sample(before + (" " if before and before[-1].isalnum() else "") + text + after, "", "", "", self.others()))
        self.judge(list(groups.items()))


if __name__ == "__main__":
    unittest.main()
