# LWP: connections kept alive; every second answer as a stream.
use strict;
use warnings;
use LWP::UserAgent;

my $agent = LWP::UserAgent->new(keep_alive => 4);
binmode STDOUT;
for (my $number = 0; $number < @ARGV / 3; $number++) {
    my ($wish, $url, $file) = @ARGV[$number * 3 .. $number * 3 + 2];
    my ($id) = split /,/, $wish;
    open my $in, '<:raw', $file or die "$file: $!";
    my $request = HTTP::Request->new(POST => $url, ['Content-Type' => 'application/json',
        'Authorization' => 'Bearer sk-standin-secret', 'x-standin' => $wish, 'x-tally-tags' => "exchange=$number.$id"],
        do { local $/; <$in> });
    my $received = '';
    my $response = $number % 2 ? $agent->request($request, sub { $received .= $_[0] }, 700) : $agent->request($request);
    print $response->code, "\n", $number % 2 && $response->is_success ? $received : $response->content, "\n";
}
