/* SPDX-License-Identifier: GPL-2.0-only */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "web/address.h"

static int parse_port(const char *text, uint16_t *ret_port)
{
	unsigned int port = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		port = port * 10 + (unsigned int)(*text - '0');
		if (port > UINT16_MAX)
			return -EINVAL;
	}
	*ret_port = (uint16_t)port;
	return 0;
}

static struct address address_v4(struct in_addr host, uint16_t port)
{
	struct address address = { .size = sizeof(address.v4) };

	address.v4.sin_family = AF_INET;
	address.v4.sin_addr = host;
	address.v4.sin_port = htons(port);
	return address;
}

static struct address address_v6(struct in6_addr host, uint16_t port)
{
	struct address address = { .size = sizeof(address.v6) };

	address.v6.sin6_family = AF_INET6;
	address.v6.sin6_addr = host;
	address.v6.sin6_port = htons(port);
	return address;
}

int address_parse(const char *listen, struct address *ret_address)
{
	const char *colon = strrchr(listen, ':');
	char host[INET6_ADDRSTRLEN + 2];
	struct in6_addr v6;
	struct in_addr v4;
	uint16_t port;
	size_t length;

	if (!colon || parse_port(colon + 1, &port))
		return -EINVAL;
	length = (size_t)(colon - listen);
	if (length >= sizeof(host))
		return -EINVAL;
	memcpy(host, listen, length);
	host[length] = '\0';
	if (length == 0) {
		*ret_address = address_v6(in6addr_any, port);
		ret_address->is_all = true;
		return 0;
	}
	if (host[0] == '[' && host[length - 1] == ']') {
		host[length - 1] = '\0';
		if (inet_pton(AF_INET6, host + 1, &v6) != 1)
			return -EINVAL;
		*ret_address = address_v6(v6, port);
		return 0;
	}
	if (inet_pton(AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1", &v4) != 1)
		return -EINVAL;
	*ret_address = address_v4(v4, port);
	return 0;
}

uint16_t address_port(const struct address *address)
{
	return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port
							: address->v4.sin_port);
}

static int open_listener(const struct address *address, int backlog)
{
	int on = 1, off = 0, err;
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    (address->any.sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off))) ||
	    bind(fd, &address->any, address->size) || listen(fd, backlog)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int address_listen(const struct address *address, int backlog)
{
	struct in_addr all = { .s_addr = htonl(INADDR_ANY) };
	int fd = open_listener(address, backlog);

	if (address->is_all && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)) {
		struct address v4 = address_v4(all, address_port(address));

		fd = open_listener(&v4, backlog);
	}
	return fd;
}

struct in6_addr address_host(const struct address *address)
{
	struct in6_addr host = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	if (address->any.sa_family == AF_INET6)
		return address->v6.sin6_addr;
	memcpy(host.s6_addr + 12, &address->v4.sin_addr, 4);
	return host;
}
