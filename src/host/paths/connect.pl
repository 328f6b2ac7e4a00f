use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6);
use Errno qw(EINPROGRESS ECONNREFUSED);
use Fcntl;
$| = 1;
my $seconds = shift;
my %waiting;
sub tell_of {
    my ($key, $error) = @_;
    if ($error == 0) { print "through $key\n" }
    elsif ($error == ECONNREFUSED) { print "refused $key\n" }
    else { local $! = $error; print "blocked $key $!\n" }
}
while (my ($address, $port) = splice @ARGV, 0, 2) {
    my $six = $address =~ /:/;
    my $raw = inet_pton($six ? AF_INET6 : AF_INET, $address);
    my $to = $six ? pack_sockaddr_in6($port, $raw) : pack_sockaddr_in($port, $raw);
    socket(my $s, $six ? PF_INET6 : PF_INET, SOCK_STREAM, 0) or next;
    fcntl($s, F_SETFL, O_NONBLOCK);
    my $key = "$address $port";
    if (connect($s, $to) || $! == EINPROGRESS) { $waiting{fileno $s} = [$s, $key] }
    else { tell_of($key, $! + 0) }
}
# a bare Perl has no clock finer than this
my $end = time + $seconds + 1;
while (%waiting && time < $end) {
    my $all = '';
    vec($all, $_, 1) = 1 for keys %waiting;
    select(undef, my $ready = $all, undef, 0.2);
    for my $fd (grep { vec($ready, $_, 1) } keys %waiting) {
        my ($s, $key) = @{delete $waiting{$fd}};
        tell_of($key, unpack 'i', getsockopt($s, SOL_SOCKET, SO_ERROR));
        close $s;
    }
}
print "blocked $_->[1] no answer in $seconds s\n" for values %waiting;
