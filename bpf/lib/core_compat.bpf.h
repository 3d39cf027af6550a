/* SPDX-License-Identifier: GPL-2.0-only */
/* Every kernel rename lives here, one function each, with its date. No #ifdef on versions anywhere.
 */
#ifndef LIB_CORE_COMPAT_BPF_H
#define LIB_CORE_COMPAT_BPF_H

#include <bpf/bpf_core_read.h>

/* kernel: kernfs_node::parent became __parent (RCU) in 6.15, commit 633488947ef6. */
struct kernfs_node___before_6_15 {
	struct kernfs_node *parent;
} __attribute__((preserve_access_index));

static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *node)
{
	struct kernfs_node___before_6_15 *old = (void *)node;

	if (bpf_core_field_exists(old->parent))
		return BPF_CORE_READ(old, parent);
	return BPF_CORE_READ(node, __parent);
}

/*
 * kernel: the vector of an iov_iter was `iov`, and is `__iov` since 6.4 (commit 747b1f65d39a);
 * ITER_UBUF and `ubuf` exist since 6.0 (commit fcb14cb1bdac). The enum values moved with them.
 */
struct iov_iter___before_6_4 {
	const struct iovec *iov;
} __attribute__((preserve_access_index));

static __always_inline const struct iovec *iter_vector(struct iov_iter *iter)
{
	struct iov_iter___before_6_4 *old = (void *)iter;

	if (bpf_core_field_exists(old->iov))
		return BPF_CORE_READ(old, iov);
	return BPF_CORE_READ(iter, __iov);
}

static __always_inline bool iter_is_user_buffer(struct iov_iter *iter)
{
	if (!bpf_core_enum_value_exists(enum iter_type, ITER_UBUF))
		return false;
	return BPF_CORE_READ(iter, iter_type) == bpf_core_enum_value(enum iter_type, ITER_UBUF);
}

static __always_inline bool iter_is_vector(struct iov_iter *iter)
{
	return BPF_CORE_READ(iter, iter_type) == bpf_core_enum_value(enum iter_type, ITER_IOVEC);
}

#endif
