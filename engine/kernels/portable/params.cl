// The parameter structs of engine/kernels/kernels.h, field for field.
struct GetRowsParams { uint rows, cols, table_rows; };
struct RmsNormParams { uint rows, cols; float eps; };
struct MatmulParams { uint rows, n_in, n_out, accumulate; };
struct QuantizeParams { uint rows, n_in; };
struct SiluMulQ8Params { uint rows, n_in; };
struct DequantizeParams { uint rows, n_in; };
struct RopeParams { uint rows, heads, head_dim, rope_dim, pairing; float magnitude; };
struct KvAppendParams { uint rows, kv_dim, context; };
struct AttentionParams { uint rows, heads, kv_heads, head_dim, context, window; float scale; };
struct AttentionJoinParams { uint heads, head_dim, parts; };
struct ElementwiseParams { uint count; };
struct AddBiasParams { uint rows, cols; };
struct ArgmaxParams { uint rows, cols; };

// The grids of portable_kernels.cc rely on these.
#define ITEMS 64            // items of a group
#define FEW_ROWS 8          // up to that many rows a matmul is bound by memory
#define FEW_OUTPUTS 32      // outputs of a group then
#define TILE_OUTPUTS 64     // outputs of a group otherwise,
#define TILE_ROWS 128       // and rows
#define MATVEC_OUTPUTS 4    // outputs of a group of a matvec,
#define MATVEC_ROWS 8       // and rows
#define ELEMENTS_PER_ITEM 8 // of the elementwise kernels
#define TILES_ROWS 64       // rows of a group of attention_tiles
#define TILES_MOST 128      // elements of a head that it takes

#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
