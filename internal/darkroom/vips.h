// The few operations of the image library that the darkroom needs. Each takes
// and returns bytes or plain pixels (8 bits, three channels, row by row without
// gaps) and keeps nothing: what it returns belongs to the caller, who frees it
// with g_free. They answer 0, or -1 with the reason in the library's error
// buffer.
#include <stddef.h>

enum format { JPEG, PNG, WEBP, HEIF };

// start_library prepares the library, once a process.
int start_library(void);

// has_loader and has_decoder tell what of a format's means is installed.
int has_loader(const char *operation);
int has_decoder(int compression);

// What a picture's header says. The texts are empty when there is none.
struct stated {
	int width, height; // as stored
	int orientation;   // as in EXIF; 0 when there is none
	char taken[32], taken_offset[32];
	char digitized[32], digitized_offset[32];
};

int read_header(enum format f, const void *file, size_t length, struct stated *out);

struct pixels {
	unsigned char *data;
	size_t length;
	int width, height;
};

// expose decodes a file, with the decoder shrinking it by a whole number if it
// can, down to a long side, upright, in sRGB, on white.
int expose(enum format f, const void *file, size_t length, int shrink, int side, struct pixels *out);

// reduce makes pixels smaller.
int reduce(const void *pixels, int width, int height, int side, struct pixels *out);

// save_jpeg and save_webp encode pixels, without metadata.
int save_jpeg(const void *pixels, int width, int height, int quality, void **file, size_t *length);
int save_webp(const void *pixels, int width, int height, int quality, void **file, size_t *length);
