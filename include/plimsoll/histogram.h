/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one histogram layout, shared by kernel and user space.
 *
 * Durations are counted twice: in classic buckets whose bounds are chosen at
 * start (every budget threshold is among them, so its count is exact) and in
 * base-2 exponential buckets of schema 4 (16 buckets per octave, 4.4 % wide),
 * the same ones OpenTelemetry and Prometheus native histograms use.
 *
 * Exponential bucket i (1 <= i < EXP_BUCKETS - 1) holds values v with
 *	2^((i - 1) / 16 - EXP_MIN_OCTAVE) < v <= 2^(i / 16 - EXP_MIN_OCTAVE) seconds.
 * Bucket 0 takes everything below (7.6 us), the last one everything above (128 s).
 */
#ifndef PLIMSOLL_HISTOGRAM_H
#define PLIMSOLL_HISTOGRAM_H

#define EXP_SCHEMA	  4
#define EXP_PER_OCTAVE	  16
#define EXP_MIN_OCTAVE	  17 /* 2^-17 s = 7.6 us */
#define EXP_MAX_OCTAVE	  7  /* 2^7 s = 128 s */
#define EXP_BUCKETS	  ((EXP_MIN_OCTAVE + EXP_MAX_OCTAVE) * EXP_PER_OCTAVE + 2)
#define BOUNDS_MAX	  31 /* classic bounds; one more bucket takes what is above the last */
#define BOUND_NONE	  0x7fffffffffffffffULL /* a bound that is not in use */
#define BOUND_BUCKETS	  (BOUNDS_MAX + 1)
#define SIZE_BUCKETS	  8 /* body sizes: <= 1k 8k 64k 512k 4M 32M 256M bytes, above */
#define SIZE_FIRST_SHIFT  10
#define SIZE_OCTAVE_SHIFT 3

_Static_assert(EXP_BUCKETS == 386, "exponential buckets are ABI");

/*
 * verifier: these are arithmetic with two branches each, because a branch per
 * comparison multiplies the paths of whoever calls them.
 */

/* floor(log2(value)), 0 for 0; the value is below 2^32. A borrow is all ones in the upper bits. */
static inline __attribute__((always_inline)) unsigned long long
histogram_log2(unsigned long long value)
{
	unsigned long long result, shift;

	result = ((0xffff - value) >> 59) & 16;
	value >>= result;
	shift = ((0xff - value) >> 60) & 8;
	result += shift;
	value >>= shift;
	shift = ((0xf - value) >> 61) & 4;
	result += shift;
	value >>= shift;
	shift = ((0x3 - value) >> 62) & 2;
	result += shift;
	return result + (value >> shift >> 1);
}

/*
 * The exponential bucket of a duration, always below EXP_BUCKETS. The unit is
 * 2^-30 s: ns times 1.073741913, 8.3e-8 more than the exact 2^30 / 10^9, rounded
 * down; in that unit the bounds are exact.
 */
static inline __attribute__((always_inline)) unsigned int exp_bucket_of_ns(unsigned long long ns)
{
	/*
	 * The position in the octave is a fraction of 38 bits. Its five upper bits
	 * choose a step, and no step holds more than one of the bounds 2^(j/16):
	 * (number of bounds below the step << 38) + (2^38 - bound within the step),
	 * so that adding the position carries into bit 38 if the bound is passed.
	 */
	static const unsigned long long steps[32] = {
		0x0000000000ULL,  0x3d2a9e4c1aULL,  0x7a351f0e0bULL,  0x8000000000ULL,
		0xb71e16462bULL,  0xc000000000ULL,  0xf3e407d73aULL,  0x1308566cfb8ULL,
		0x14000000000ULL, 0x16d0094ab28ULL, 0x18000000000ULL, 0x1a953e08adfULL,
		0x1c000000000ULL, 0x1e57d866604ULL, 0x20000000000ULL, 0x2217bae3054ULL,
		0x24000000000ULL, 0x25d4c6af756ULL, 0x28000000000ULL, 0x298edb9f571ULL,
		0x2c000000000ULL, 0x2d45d819a95ULL, 0x30000000000ULL, 0x30000000000ULL,
		0x30f999089ebULL, 0x34000000000ULL, 0x34a9f9c8c12ULL, 0x38000000000ULL,
		0x38000000000ULL, 0x3856d41756eULL, 0x3c000000000ULL, 0x3c000000000ULL,
	};
	const unsigned long long least = 1ULL << (30 - EXP_MIN_OCTAVE);
	unsigned long long v, octave, position;
	unsigned int bucket;

	if (ns > (1ULL << 38) - 1)
		ns = (1ULL << 38) - 1;
	v = ns + ((ns * 77324) >> 20);
	if (v < least)
		v = least;
	/* Upper bounds are inclusive, hence v - 1; octave 0 ends at the least value. */
	octave = histogram_log2((v - 1) / (least / 2));
	position = (v << (26 - octave)) - 1;
	position += steps[(position >> 33) & 31];
	bucket = (unsigned int)(octave * EXP_PER_OCTAVE + (position >> 38)) - EXP_PER_OCTAVE;
	return bucket < EXP_BUCKETS ? bucket : EXP_BUCKETS - 1;
}

/* The bucket of a body size, always below SIZE_BUCKETS. */
static inline __attribute__((always_inline)) unsigned int size_bucket_of(unsigned long long bytes)
{
	const unsigned long long most = 1ULL << (SIZE_FIRST_SHIFT + 6 * SIZE_OCTAVE_SHIFT);
	unsigned long long below = bytes - 1;
	unsigned long long octave;

	below += below >> 63; /* 0 bytes are as good as 1 */
	if (below > most)
		below = most;
	octave = histogram_log2(below >> (SIZE_FIRST_SHIFT - SIZE_OCTAVE_SHIFT));
	/* verifier: knows no bound of a quotient; * 43 >> 7 is / 3 for what a log2 can be. */
	return (unsigned int)(octave * 43 >> 7) & (SIZE_BUCKETS - 1);
}

_Static_assert(SIZE_BUCKETS == 8 && SIZE_OCTAVE_SHIFT == 3, "size_bucket_of() counts on it");

#endif
