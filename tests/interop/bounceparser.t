#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# D2: a bounce parser that nobody here wrote understands our delivery reports.
# The reports come from the unit test's samples; DSN_GENERATOR names that program.
use strict;
use warnings;
use FindBin;
use Test::More;

eval { require Mail::DeliveryStatus::BounceParser; 1 }
    or plan skip_all => 'libmail-deliverystatus-bounceparser-perl is not installed';
my $build = $ENV{BUILD} // "build/release";
my $generator = $ENV{DSN_GENERATOR} // "$FindBin::Bin/../../$build/tests/unit/test_dsn_report";
plan skip_all => "no generator at $generator: make unit T=test_dsn_report" unless -x $generator;

# name, then for each recipient: address, reason, host, Remote-MTA, status. The parser's "host"
# is the one of Postfix's "host X said:", else the domain of the address; RFC 3464 wants the
# server's bare words in Diagnostic-Code, so it is the domain here.
my @cases = (
    [ 'unknown',
        [ 'bob+x@alias.example', 'user_unknown', 'alias.example', 'mx.there.example', '5.1.1' ] ],
    [ 'full', [ 'bob@there.example', 'over_quota', 'there.example', 'mx.there.example', '5.2.2' ] ],
    [ 'domain', [ 'bob@nowhere.example', 'domain_error', 'nowhere.example', undef, '5.1.2' ] ],
    [ 'spam', [ 'bob@there.example', 'spam', 'there.example', 'mx.there.example', '5.7.1' ] ],
    [ 'several',
        [ 'bob@there.example', 'user_unknown', 'there.example', 'mx.there.example', '5.1.1' ],
        [ 'eve@there.example', undef, 'there.example', 'mx.there.example', '4.7.1' ] ],
    [ 'hostile', [ 'bob@there.example', 'user_unknown', 'there.example', undef, '5.1.1' ] ],
);

for my $case (@cases) {
    my ($name, @want) = @$case;
    open my $pipe, '-|', $generator, '--print', $name or die "$generator: $!";
    my $text = do { local $/; <$pipe> };
    close $pipe;
    my $bounce = Mail::DeliveryStatus::BounceParser->new($text);
    ok $bounce->is_bounce, "$name is a bounce";
    my @reports = $bounce->reports;
    cmp_ok scalar @reports, '>=', scalar @want, "$name has reports";
    for my $i (0 .. $#want) {
        my ($email, $reason, $host, $mta, $status) = @{ $want[$i] };
        my $r = $reports[$i];
        is $r->get('email'), $email, "$name: email";
        is $r->get('std_reason'), $reason, "$name: std_reason" if defined $reason;
        is $r->get('host'), $host, "$name: host";
        like $r->get('Remote-MTA'), qr/^dns; \Q$mta\E$/, "$name: Remote-MTA" if defined $mta;
        like $r->get('status'), qr/\Q$status\E/, "$name: status";
    }
    is $bounce->orig_message_id, undef, "$name: no original id in a header without one"
        if $name eq 'unknown';
}

# a report of success or delay is no bounce
for my $name (qw(success delayed)) {
    open my $pipe, '-|', $generator, '--print', $name or die "$generator: $!";
    my $text = do { local $/; <$pipe> };
    close $pipe;
    my $bounce = Mail::DeliveryStatus::BounceParser->new($text);
    my @failed = grep { ($_->get('action') // '') eq 'failed' } $bounce->reports;
    is scalar @failed, 0, "$name reports no failure";
}
done_testing;
