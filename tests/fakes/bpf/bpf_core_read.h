/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CO-RE on a host where every field is where the compiler put it. As in the kernel a
 * chain through a null pointer reads as zero. The kernel pretended is a new one:
 * fields that only old ones have do not exist.
 */
#ifndef FAKES_BPF_CORE_READ_H
#define FAKES_BPF_CORE_READ_H

#define preserve_access_index /* an attribute only the BPF target has */

#define FAKE_FIELD(depth, source, field)                                                    \
	({                                                                                  \
		__typeof__((source)->field) fake_value_##depth;                             \
		const void *fake_at_##depth = (source);                                     \
		memset((void *)&fake_value_##depth, 0, sizeof(fake_value_##depth));         \
		if (fake_at_##depth)                                                        \
			memcpy((void *)&fake_value_##depth,                                 \
			       (const void *)&((__typeof__(source))fake_at_##depth)->field, \
			       sizeof(fake_value_##depth));                                 \
		fake_value_##depth;                                                         \
	})

#define FAKE_READ_1(source, a)		FAKE_FIELD(1, source, a)
#define FAKE_READ_2(source, a, b)	FAKE_FIELD(2, FAKE_READ_1(source, a), b)
#define FAKE_READ_3(source, a, b, c)	FAKE_FIELD(3, FAKE_READ_2(source, a, b), c)
#define FAKE_READ_4(source, a, b, c, d) FAKE_FIELD(4, FAKE_READ_3(source, a, b, c), d)

#define FAKE_CHOOSE(one, two, three, four, chosen, ...) chosen
#define BPF_CORE_READ(source, ...)                                                           \
	FAKE_CHOOSE(__VA_ARGS__, FAKE_READ_4, FAKE_READ_3, FAKE_READ_2, FAKE_READ_1, FAKE_0) \
	(source, __VA_ARGS__)

#define bpf_core_field_exists(field)		(sizeof(field) == 0)
#define bpf_core_field_offset(type, field)	offsetof(type, field)
#define bpf_core_enum_value_exists(type, value) ((type)(value) == (value))
#define bpf_core_enum_value(type, value)	((type)(value))
#define bpf_core_type_exists(type)		(sizeof(type) > 0)
#define bpf_core_read(into, size, from)		bpf_probe_read_kernel(into, size, from)
#define bpf_core_cast(pointer, type)		((type *)(pointer))

#endif
