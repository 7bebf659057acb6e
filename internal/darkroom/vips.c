#define _GNU_SOURCE
#include <dlfcn.h>
#include <math.h>
#include <string.h>
#include <vips/vips.h>

#include "vips.h"

int start_library(void)
{
	if (vips_init("darkroom") != 0) return -1;
	// One photograph at a time on one core, and none is seen twice.
	vips_concurrency_set(1);
	vips_cache_set_max(0);
	return 0;
}

int has_loader(const char *operation) { return vips_type_find("VipsOperation", operation) != 0; }

int has_decoder(int compression)
{
	// The library may be a module of another, so it is not linked to. One that
	// cannot be asked is taken at its word.
	int (*ask)(int) = (int (*)(int))dlsym(RTLD_DEFAULT, "heif_have_decoder_for_format");
	return ask == NULL || ask(compression);
}

// load opens a file for one pass from top to bottom. "fail": a picture that
// ends too early must not be sold half grey.
static VipsImage *load(enum format f, const void *file, size_t length, int shrink)
{
	VipsImage *in = NULL;
	void *b = (void *)file;
	switch (f) {
	case JPEG:
		vips_jpegload_buffer(b, length, &in, "shrink", shrink, "fail", TRUE, "access", VIPS_ACCESS_SEQUENTIAL, NULL);
		break;
	case PNG:
		vips_pngload_buffer(b, length, &in, "fail", TRUE, "access", VIPS_ACCESS_SEQUENTIAL, NULL);
		break;
	case WEBP:
		vips_webpload_buffer(b, length, &in, "scale", 1.0 / shrink, "fail", TRUE, "access", VIPS_ACCESS_SEQUENTIAL, NULL);
		break;
	case HEIF:
		vips_heifload_buffer(b, length, &in, "fail", TRUE, "access", VIPS_ACCESS_SEQUENTIAL, NULL);
		break;
	}
	return in;
}

static void text(VipsImage *in, const char *field, char out[32])
{
	const char *s;
	out[0] = 0;
	if (vips_image_get_typeof(in, field) != 0 && vips_image_get_string(in, field, &s) == 0) g_strlcpy(out, s, 32);
}

int read_header(enum format f, const void *file, size_t length, struct stated *out)
{
	VipsImage *in = load(f, file, length, 1);
	if (in == NULL) return -1;
	out->width = in->Xsize;
	out->height = in->Ysize;
	out->orientation = 0;
	if (vips_image_get_typeof(in, VIPS_META_ORIENTATION) != 0) vips_image_get_int(in, VIPS_META_ORIENTATION, &out->orientation);
	text(in, "exif-ifd2-DateTimeOriginal", out->taken);
	text(in, "exif-ifd2-OffsetTimeOriginal", out->taken_offset);
	text(in, "exif-ifd2-DateTimeDigitized", out->digitized);
	text(in, "exif-ifd2-OffsetTimeDigitized", out->digitized_offset);
	g_object_unref(in);
	return 0;
}

// take replaces an image by what an operation made of it. Its arguments are in
// the order in which the operation's call and its result are written down.
static int take(VipsImage **image, int failed, VipsImage *made)
{
	g_object_unref(*image);
	*image = failed ? NULL : made;
	return failed ? -1 : 0;
}

#define APPLY(operation, ...) \
	do { \
		VipsImage *made = NULL; \
		int failed = operation(*image, &made, ##__VA_ARGS__, NULL); \
		if (take(image, failed, made) != 0) return -1; \
	} while (0)

// shrink_to brings the long side to a length. Colours that nobody sees, under
// full transparency, must not bleed into those beside them.
static int shrink_to(VipsImage **image, int side)
{
	double scale = (double)side / VIPS_MAX((*image)->Xsize, (*image)->Ysize);
	if (scale >= 1) return 0;
	if (!vips_image_hasalpha(*image)) {
		APPLY(vips_resize, scale);
		return 0;
	}
	VipsBandFormat format = (*image)->BandFmt;
	APPLY(vips_premultiply);
	APPLY(vips_resize, scale);
	APPLY(vips_unpremultiply);
	APPLY(vips_cast, format);
	return 0;
}

// to_srgb makes three channels of 8 bits. The names mean profiles that are
// built into the library: no file is read. A profile that does not fit its
// picture is passed over, as browsers do.
static int to_srgb(VipsImage **image)
{
	int inks = (*image)->Type == VIPS_INTERPRETATION_CMYK;
	if (inks || vips_image_get_typeof(*image, VIPS_META_ICC_NAME) != 0)
		APPLY(vips_icc_transform, "srgb", "embedded", TRUE, "input_profile", inks ? "cmyk" : "srgb",
			"intent", VIPS_INTENT_PERCEPTUAL);
	if ((*image)->Type != VIPS_INTERPRETATION_sRGB) APPLY(vips_colourspace, VIPS_INTERPRETATION_sRGB);
	if (vips_image_hasalpha(*image)) {
		double white[] = {255, 255, 255};
		VipsArrayDouble *background = vips_array_double_new(white, 3);
		VipsImage *made = NULL;
		int failed = vips_flatten(*image, &made, "background", background, NULL);
		vips_area_unref(VIPS_AREA(background));
		if (take(image, failed, made) != 0) return -1;
	}
	if ((*image)->BandFmt != VIPS_FORMAT_UCHAR) APPLY(vips_cast, VIPS_FORMAT_UCHAR);
	return 0;
}

// upright turns as EXIF says. Rows that were read once, from top to bottom,
// must be kept to be turned.
static int upright(VipsImage **image)
{
	int orientation = 1;
	if (vips_image_get_typeof(*image, VIPS_META_ORIENTATION) != 0) vips_image_get_int(*image, VIPS_META_ORIENTATION, &orientation);
	if (orientation < 2 || orientation > 8) return 0;
	VipsImage *kept = vips_image_copy_memory(*image);
	if (take(image, kept == NULL, kept) != 0) return -1;
	APPLY(vips_autorot);
	return 0;
}

static int deliver(VipsImage *in, struct pixels *out)
{
	if (in->Bands != 3) {
		vips_error("darkroom", "%d channels", in->Bands);
		return -1;
	}
	out->width = in->Xsize;
	out->height = in->Ysize;
	out->data = vips_image_write_to_memory(in, &out->length);
	return out->data == NULL ? -1 : 0;
}

int expose(enum format f, const void *file, size_t length, int shrink, int side, struct pixels *out)
{
	VipsImage *in = load(f, file, length, shrink);
	if (in == NULL) return -1;
	int failed = shrink_to(&in, side) != 0 || to_srgb(&in) != 0 || upright(&in) != 0 || deliver(in, out) != 0;
	if (in != NULL) g_object_unref(in);
	return failed ? -1 : 0;
}

static VipsImage *image_of(const void *pixels, int width, int height)
{
	VipsImage *in = vips_image_new_from_memory(pixels, (size_t)width * height * 3, width, height, 3, VIPS_FORMAT_UCHAR);
	if (in != NULL) in->Type = VIPS_INTERPRETATION_sRGB;
	return in;
}

int reduce(const void *pixels, int width, int height, int side, struct pixels *out)
{
	VipsImage *in = image_of(pixels, width, height);
	if (in == NULL) return -1;
	int failed = shrink_to(&in, side) != 0 || deliver(in, out) != 0;
	if (in != NULL) g_object_unref(in);
	return failed ? -1 : 0;
}

int save_jpeg(const void *pixels, int width, int height, int quality, void **file, size_t *length)
{
	VipsImage *in = image_of(pixels, width, height);
	if (in == NULL) return -1;
	int failed = vips_jpegsave_buffer(in, file, length, "Q", quality, "strip", TRUE, "optimize_coding", TRUE, NULL);
	g_object_unref(in);
	return failed;
}

int save_webp(const void *pixels, int width, int height, int quality, void **file, size_t *length)
{
	VipsImage *in = image_of(pixels, width, height);
	if (in == NULL) return -1;
	int failed = vips_webpsave_buffer(in, file, length, "Q", quality, "strip", TRUE, NULL);
	g_object_unref(in);
	return failed;
}
