/* SPDX-License-Identifier: GPL-2.0-only */
/* Byte order of the network on the hosts the tests run on, which are little-endian. */
#ifndef FAKES_BPF_ENDIAN_H
#define FAKES_BPF_ENDIAN_H

#define bpf_ntohs(value) __builtin_bswap16(value)
#define bpf_htons(value) __builtin_bswap16(value)
#define bpf_ntohl(value) __builtin_bswap32(value)
#define bpf_htonl(value) __builtin_bswap32(value)

#endif
