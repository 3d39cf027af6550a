/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A service whose work is to wait: answers every request after a fixed time, a thread for each
 * connection, so that requests never wait for each other. Says "listening PORT". Loopback only.
 *
 *	slow_server MICROSECONDS
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct timespec work;

static void *serve(void *argument)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ndone\n";
	int fd = (int)(intptr_t)argument;
	char request[4096];
	size_t seen = 0;
	ssize_t count;

	prctl(PR_SET_TIMERSLACK, 1);
	for (;;) {
		count = recv(fd, request + seen, sizeof(request) - seen - 1, 0);
		if (count <= 0)
			break;
		seen += (size_t)count;
		request[seen] = 0;
		if (!strstr(request, "\r\n\r\n")) {
			if (seen == sizeof(request) - 1)
				break;
			continue;
		}
		seen = 0;
		nanosleep(&work, NULL);
		if (send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) < 0)
			break;
	}
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	long microseconds = argc == 2 ? strtol(argv[1], NULL, 10) : -1;
	socklen_t size = sizeof(address);
	pthread_attr_t small;
	pthread_t thread;
	int fd, client;

	if (microseconds < 0) {
		fputs("usage: slow_server MICROSECONDS\n", stderr);
		return 2;
	}
	work = (struct timespec){ .tv_sec = microseconds / 1000000,
				  .tv_nsec = microseconds % 1000000 * 1000 };
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 1024) ||
	    getsockname(fd, (struct sockaddr *)&address, &size)) {
		perror("slow_server: listen");
		return 1;
	}
	printf("listening %d\n", ntohs(address.sin_port));
	fflush(stdout);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 256 * 1024);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	for (;;) {
		client = accept(fd, NULL, NULL);
		if (client < 0)
			continue;
		if (pthread_create(&thread, &small, serve, (void *)(intptr_t)client))
			close(client);
	}
}
