/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where to listen, as a user writes it: "127.0.0.1:9926", "[::1]:9926",
 * "localhost:9926", ":9926" (all addresses, both families). Numbers only:
 * nothing is looked up, so starting never waits for a name server.
 */
#ifndef WEB_ADDRESS_H
#define WEB_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t size;
	bool is_all; /* ":port": IPv4 alone will do where there is no IPv6 */
};

/* 0 or -EINVAL. */
int address_parse(const char *listen, struct address *ret_address);

uint16_t address_port(const struct address *address);

/* A listening, non-blocking socket, or a negative errno. Port 0 takes a free one. */
int address_listen(const struct address *address, int backlog);

/* 16 bytes that tell clients apart; IPv4 as ::ffff:a.b.c.d. */
struct in6_addr address_host(const struct address *address);

#endif
