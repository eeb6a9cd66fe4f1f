#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Delivery status notifications, read by a parser that others wrote."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import json
import subprocess

import peers
import smtpc
from daemon import USER, Service, patience
from nexthop import NextHop
from tap import equal, ok, run, skip, test, wait_for

PERL = r"""
use strict; use warnings; use Mail::DeliveryStatus::BounceParser; use JSON::PP;
local $/; my $b = Mail::DeliveryStatus::BounceParser->new(<STDIN>);
print encode_json({ bounce => $b->is_bounce ? 1 : 0, addresses => [$b->addresses],
  orig => $b->orig_message_id // '',
  reports => [map { { rcpt => $_->get('email'), reason => $_->get('std_reason'),
    status => $_->get('status'), action => $_->get('action') } } $b->reports] });
"""


@contextlib.contextmanager
def fixture():
    with NextHop() as hop, Service(next_port=hop.port) as s:
        s.hop = hop
        hop.rcpt["no@remote.example"] = "550 5.1.1 <no@remote.example>: no such user"
        hop.rcpt["full@remote.example"] = "552 5.2.2 mailbox full"
        yield s


def bounce_parser(data):
    r = subprocess.run(["perl", "-MMail::DeliveryStatus::BounceParser", "-e", PERL],
                       input=data.replace(b"\r\n", b"\n"), capture_output=True, timeout=60)
    if b"Can't locate Mail/DeliveryStatus" in r.stderr:
        skip("libmail-deliverystatus-bounceparser-perl is not installed")
    equal(r.returncode, 0, r.stderr.decode())
    return json.loads(r.stdout)


def dsn_for(s, subject, rcpts, sender=USER, **params):
    """Submits and gives the DSNs that come back, once n of them have come."""
    before = len(s.hop.to(sender))
    smtpc.submit(s, rcpts, smtpc.letter(subject, extra=f"Message-ID: <{subject}@x.example>\r\n",
                                        body="the secret body\r\n"), **params)
    s.hop.wait(before + 1, rcpt=sender, seconds=patience(30))
    return s.hop.to(sender)[before:]


def parts(m):
    message = peers.parse(m.data)
    equal(message.get_content_type(), "multipart/report")
    equal(message.get_param("report-type"), "delivery-status")
    return message, list(message.iter_parts())


@test("D2: a multipart/report that BounceParser understands")
def parser(s):
    b = bounce_parser(dsn_for(s, "bounce1", "no@remote.example")[0].data)
    equal(b["bounce"], 1)
    equal(b["addresses"], ["no@remote.example"])
    equal(b["reports"][0]["reason"], "user_unknown")
    ok("bounce1@x.example" in b["orig"], b["orig"])


@test("D2: plain words first, the remote's own words, codes, and the returned message")
def content(s):
    message, p = parts(dsn_for(s, "bounce2", "no@remote.example")[0])
    equal([x.get_content_type() for x in p][:2], ["text/plain", "message/delivery-status"])
    ok("no@remote.example" in p[0].get_content(), p[0].get_content())
    report = p[1].as_string()
    for want in ("Reporting-MTA: dns; mail.example.com",
                 "Final-Recipient: rfc822; no@remote.example",
                 "Action: failed", "Status: 5.1.1", "no such user", "Arrival-Date:"):
        ok(want.lower() in report.lower(), f"{want} in {report}")
    equal(message["Auto-Submitted"], "auto-replied")
    ok(message["Message-ID"] and message["Date"] and message["From"] and message["To"], "header")


@test("D4: one DSN for recipients that fail together")
def together(s):
    dsns = dsn_for(s, "bounce3",
                   ["no@remote.example", "full@remote.example", "good@remote.example"])
    s.hop.wait(1, rcpt="good@remote.example")
    equal(len(dsns), 1)
    b = bounce_parser(dsns[0].data)
    equal(sorted(b["addresses"]), ["full@remote.example", "no@remote.example"])
    ok(b"good@remote.example" not in dsns[0].data.split(b"message/delivery-status")[1]
       .split(b"\r\n--")[0], "the delivered one is not reported")


@test("D1: RET=HDRS returns the header only, RET=FULL the message")
def ret(s):
    data = dsn_for(s, "bounce4", "no@remote.example", mail_params=" RET=HDRS")[0].data
    ok(b"the secret body" not in data and b"Subject: bounce4" in data, "RET=HDRS")
    data = dsn_for(s, "bounce5", "no@remote.example", mail_params=" RET=FULL")[0].data
    ok(b"the secret body" in data, "RET=FULL")


@test("D1: ENVID and ORCPT come back")
def envid(s):
    data = dsn_for(s, "bounce6", "no@remote.example", mail_params=" ENVID=QQ+2B314159",
                   rcpt_params=" ORCPT=rfc822;Bob+40original.example")[0].data.decode()
    ok("Original-Envelope-Id: QQ+314159" in data, data[:3000])
    ok("original-recipient:rfc822;bob@original.example" in data.lower().replace(" ", ""),
       data[:3000])


@test("D1: NOTIFY=NEVER: nothing comes back; NOTIFY=SUCCESS: a report of relaying or delivery")
def notify(s):
    before = len(s.hop.to(USER))
    mid = smtpc.submit(s, "no@remote.example", rcpt_params=" NOTIFY=NEVER")
    s.wait_log(event="delivery", mid=mid)
    with NextHop(extensions=["PIPELINING"]) as plain:   # a hop without DSN: we report ourselves
        s.write_conf(plain=f'domain "plain.example" {{ transport = "plain" }}\n'
                     f'transport "plain" {{ method = static\n'
                     f'  hosts = {{"127.0.0.1:{plain.port}"}} }}')
        s.reload()
        smtpc.submit(s, "x@plain.example", rcpt_params=" NOTIFY=SUCCESS,FAILURE")
        plain.wait(1)
        s.hop.wait(before + 1, rcpt=USER, seconds=patience(30))
    new = s.hop.to(USER)[before:]
    equal(len(new), 1)
    ok(b"Action: relayed" in new[0].data or b"Action: delivered" in new[0].data, new[0].data)


@test("D1: parameters are passed on to a hop that has DSN")
def passed_on(s):
    smtpc.submit(s, "dsn@remote.example", mail_params=" RET=HDRS ENVID=abc",
                 rcpt_params=" NOTIFY=SUCCESS ORCPT=rfc822;dsn@remote.example")
    m = s.hop.wait(1, rcpt="dsn@remote.example")[0]
    ok("RET=HDRS" in m.params and "ENVID=abc" in m.params, m.params)
    ok("NOTIFY=SUCCESS" in m.rcpt_params["dsn@remote.example"], str(m.rcpt_params))
    ok("ORCPT=rfc822;dsn@remote.example" in m.rcpt_params["dsn@remote.example"], "ORCPT")


@test("D2: never a DSN for the null sender")
def null_sender(s):
    with smtpc.Client(s.port25) as c:
        c.ehlo()
        s.hop.rcpt[USER] = "550 5.1.1 not me"
        equal(c.message("", USER, smtpc.letter("from nobody"))[0], 250)
    wait_for(lambda: s.events(event="delivery", to=USER, code="550"), "the refusal")
    del s.hop.rcpt[USER]
    smtpc.submit(s, "after@remote.example")
    s.hop.wait(1, rcpt="after@remote.example")
    equal([m for m in s.hop.messages if "" in m.rcpts], [])


@test("D2: malformed DSN parameters are refused with 501, unknown ones with 555")
def malformed(s):
    with smtpc.login(s) as c:
        for params in (" RET=SOME", " ENVID=a+4", " ENVID=" + "x" * 200):
            code, text = c.cmd(f"MAIL FROM:<{USER}>{params}")
            equal(code, 501, f"{params}: {text}")
        equal(c.cmd(f"MAIL FROM:<{USER}>")[0], 250)
        for params in (" NOTIFY=NEVER,SUCCESS", " NOTIFY=", " ORCPT=x", " NOTIFY=SOMETIMES"):
            code, text = c.cmd(f"RCPT TO:<x@remote.example>{params}")
            equal(code, 501, f"{params}: {text}")


run(fixture)
