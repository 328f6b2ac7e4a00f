use Socket qw(:DEFAULT :addrinfo inet_pton pack_sockaddr_in6);
$| = 1;
alarm shift;
while (my ($address, $port) = splice @ARGV, 0, 2) {
    my $six = $address =~ /:/;
    my $raw = inet_pton($six ? AF_INET6 : AF_INET, $address);
    my $to = $six ? pack_sockaddr_in6($port, $raw) : pack_sockaddr_in($port, $raw);
    socket(my $s, $six ? PF_INET6 : PF_INET, SOCK_STREAM, 0) or next;
    setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
    bind($s, $to) && listen($s, 128) && push @held, $s;
}
print "ready\n";
1 while <STDIN>;
