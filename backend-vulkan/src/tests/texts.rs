//! How kernels read in GLSL, and one in SPIR-V. `UPDATE_EXPECT=1` writes the texts anew.

use super::with;
use crate::spread::{Form, Launch, Tile};
use crate::{Without, glsl, spirv};
use egrad_ir::kernel::Kernel;
use expect_test::{Expect, expect};

/// Prints a kernel of that form.
#[track_caller]
fn check(kernel: &str, form: Form, expect: &Expect) {
    let kernel = Kernel::parse(kernel).unwrap();
    kernel.verify().unwrap();
    with(Without::default(), |vulkan| {
        let mut caps = vulkan.context.caps.clone();
        (caps.workgroup, caps.f32.keeps_nan, caps.f64.keeps_nan) = (256, false, true);
        let launch = Launch::plain(kernel, form, Vec::new());
        let shader = glsl::print(&launch, &caps, "test").unwrap();
        expect.assert_eq(&shader.text);
        if cfg!(feature = "shaderc") {
            super::valid(&glsl::compile(&shader).unwrap().words);
        }
    });
}

const SOFTMAX: &str = "kernel softmax(b0: read f32[444], b1: write f32[444]) fast {
  parallel p0 in 0..12 {
    for r0 in 0..37 {
      %0 = load b0[37*p0 + r0]
      %1 = reduce_max %0
    }
    for r0 in 0..37 {
      %2 = load b0[37*p0 + r0]
      %3 = sub %2 %1
      %4 = exp %3
      store b1[37*p0 + r0] = %4
      %5 = reduce_sum %4
    }
    for r0 in 0..37 {
      %6 = load b1[37*p0 + r0]
      %7 = div %6 %5
      store b1[37*p0 + r0] = %7
    }
  }
}
";

#[test]
fn softmax_by_single_invocations() {
    check(
        SOFTMAX,
        Form::Team(1),
        &expect![[r#"
        #version 450
        // softmax: an invocation for each of 12 points

        layout(local_size_x_id = 0) in;
        layout(push_constant) uniform Launch { uint points; uint row; } launch;
        layout(set = 0, binding = 0) readonly buffer B0 { float b0[]; };
        layout(set = 0, binding = 1) coherent buffer B1 { float b1[]; };

        float nan_32() {
            return uintBitsToFloat(0x7fc00000u);
        }

        // Whether the sign bit is set, of zeros and NaN too.
        bool is_negative(float x) {
            return floatBitsToInt(x) < 0;
        }

        // NaN if either is; 0 is above -0.
        float maximum(float x, float y) {
            if (isnan(x) || isnan(y)) return nan_32();
            return x > y || (x == y && !is_negative(x)) ? x : y;
        }

        // The powers of e beyond these are infinite, or zero.
        const float EXP_MOST_32 = 88.72283172607422;
        const float EXP_LEAST_32 = -104.0;

        float infinity_32() {
            return uintBitsToFloat(0x7f800000u);
        }

        // ln 2 as a sum, of which small multiples of the first part are exact.
        const float LN2_TOP_32 = 0.693359375;
        const float LN2_REST_32 = -2.12194440054690583e-4;

        // x * 2^n, where 2^n itself may be out of range.
        float scaled(float x, int n) {
            return ldexp(ldexp(x, n / 2), n - n / 2);
        }

        // e^r - 1 for |r| <= ln(2) / 2, by the series.
        float expm1_near_0(float r) {
            float p = 1.0 / 6227020800.0;
            p = p * r + 1.0 / 479001600.0;
            p = p * r + 1.0 / 39916800.0;
            p = p * r + 1.0 / 3628800.0;
            p = p * r + 1.0 / 362880.0;
            p = p * r + 1.0 / 40320.0;
            p = p * r + 1.0 / 5040.0;
            p = p * r + 1.0 / 720.0;
            p = p * r + 1.0 / 120.0;
            p = p * r + 1.0 / 24.0;
            p = p * r + 1.0 / 6.0;
            p = p * r + 0.5;
            return r + r * r * p;
        }

        // e^(high + low) = 2^n * (1 + expm1_near_0(r)); low is far below high.
        float exp_of_pair(float high, float low) {
            if (isnan(high)) return high;
            if (high > EXP_MOST_32) return infinity_32();
            if (high < EXP_LEAST_32) return 0.0;
            float n = roundEven(high * 1.44269504088896340736);
            precise float r = (high - n * LN2_TOP_32) - (n * LN2_REST_32 - low);
            return scaled(1.0 + expm1_near_0(r), int(n));
        }

        float accurate_exp(float x) {
            return exp_of_pair(x, 0.0);
        }

        void main() {
            uint group = gl_WorkGroupID.y * launch.row + gl_WorkGroupID.x;
            uint point = group * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
            if (point >= launch.points) return;
            float most1 = uintBitsToFloat(0xff800000u);
            for (uint r0 = 0; r0 < 37; r0++) {
                most1 = maximum(most1, b0[37 * point + r0]);
            }
            float sum5 = 0.0;
            for (uint r0 = 0; r0 < 37; r0++) {
                float v4 = accurate_exp(b0[37 * point + r0] - most1);
                b1[37 * point + r0] = v4;
                sum5 += v4;
            }
            for (uint r0 = 0; r0 < 37; r0++) {
                float v6 = b1[37 * point + r0];
                b1[37 * point + r0] = v6 / sum5;
            }
        }
    "#]],
    );
}

#[test]
fn softmax_by_teams() {
    check(
        SOFTMAX,
        Form::Team(32),
        &expect![[r#"
        #version 450
        // softmax: a team of 32 invocations for each of 12 points

        layout(local_size_x_id = 0) in;
        layout(push_constant) uniform Launch { uint points; uint row; } launch;
        layout(set = 0, binding = 0) readonly buffer B0 { float b0[]; };
        layout(set = 0, binding = 1) coherent buffer B1 { float b1[]; };

        const uint TEAM = 32;

        float nan_32() {
            return uintBitsToFloat(0x7fc00000u);
        }

        // Whether the sign bit is set, of zeros and NaN too.
        bool is_negative(float x) {
            return floatBitsToInt(x) < 0;
        }

        // NaN if either is; 0 is above -0.
        float maximum(float x, float y) {
            if (isnan(x) || isnan(y)) return nan_32();
            return x > y || (x == y && !is_negative(x)) ? x : y;
        }

        shared float team_32[gl_WorkGroupSize.x];

        // What every member of a team of TEAM invocations gets: the largest of their numbers.
        float maximum_of_team(float x) {
            uint own = gl_LocalInvocationIndex;
            team_32[own] = x;
            barrier();
            for (uint left = TEAM / 2; left > 0; left /= 2) {
                if (own % TEAM < left) team_32[own] = maximum(team_32[own], team_32[own + left]);
                barrier();
            }
            float most = team_32[own / TEAM * TEAM];
            barrier();
            return most;
        }

        // The powers of e beyond these are infinite, or zero.
        const float EXP_MOST_32 = 88.72283172607422;
        const float EXP_LEAST_32 = -104.0;

        float infinity_32() {
            return uintBitsToFloat(0x7f800000u);
        }

        // ln 2 as a sum, of which small multiples of the first part are exact.
        const float LN2_TOP_32 = 0.693359375;
        const float LN2_REST_32 = -2.12194440054690583e-4;

        // x * 2^n, where 2^n itself may be out of range.
        float scaled(float x, int n) {
            return ldexp(ldexp(x, n / 2), n - n / 2);
        }

        // e^r - 1 for |r| <= ln(2) / 2, by the series.
        float expm1_near_0(float r) {
            float p = 1.0 / 6227020800.0;
            p = p * r + 1.0 / 479001600.0;
            p = p * r + 1.0 / 39916800.0;
            p = p * r + 1.0 / 3628800.0;
            p = p * r + 1.0 / 362880.0;
            p = p * r + 1.0 / 40320.0;
            p = p * r + 1.0 / 5040.0;
            p = p * r + 1.0 / 720.0;
            p = p * r + 1.0 / 120.0;
            p = p * r + 1.0 / 24.0;
            p = p * r + 1.0 / 6.0;
            p = p * r + 0.5;
            return r + r * r * p;
        }

        // e^(high + low) = 2^n * (1 + expm1_near_0(r)); low is far below high.
        float exp_of_pair(float high, float low) {
            if (isnan(high)) return high;
            if (high > EXP_MOST_32) return infinity_32();
            if (high < EXP_LEAST_32) return 0.0;
            float n = roundEven(high * 1.44269504088896340736);
            precise float r = (high - n * LN2_TOP_32) - (n * LN2_REST_32 - low);
            return scaled(1.0 + expm1_near_0(r), int(n));
        }

        float accurate_exp(float x) {
            return exp_of_pair(x, 0.0);
        }

        // What every member of a team of TEAM invocations gets: the sum of their numbers.
        float sum_of_team(float x) {
            uint own = gl_LocalInvocationIndex;
            team_32[own] = x;
            barrier();
            for (uint left = TEAM / 2; left > 0; left /= 2) {
                if (own % TEAM < left) team_32[own] += team_32[own + left];
                barrier();
            }
            float sum = team_32[own / TEAM * TEAM];
            barrier();
            return sum;
        }

        void main() {
            uint group = gl_WorkGroupID.y * launch.row + gl_WorkGroupID.x;
            uint member = gl_LocalInvocationIndex % 32;
            uint point = group * (gl_WorkGroupSize.x / 32) + gl_LocalInvocationIndex / 32;
            bool inside = point < launch.points;
            point = min(point, launch.points - 1);
            float most1 = uintBitsToFloat(0xff800000u);
            for (uint r0 = member; r0 < 37; r0 += 32) {
                most1 = maximum(most1, b0[37 * point + r0]);
            }
            most1 = maximum_of_team(most1);
            float sum5 = 0.0;
            for (uint r0 = member; r0 < 37; r0 += 32) {
                float v4 = accurate_exp(b0[37 * point + r0] - most1);
                if (inside) b1[37 * point + r0] = v4;
                sum5 += v4;
            }
            sum5 = sum_of_team(sum5);
            memoryBarrierBuffer();
            barrier();
            for (uint r0 = member; r0 < 37; r0 += 32) {
                float v6 = b1[37 * point + r0];
                if (inside) b1[37 * point + r0] = v6 / sum5;
            }
        }
    "#]],
    );
}

#[test]
fn axes_that_are_one() {
    let kernel = "kernel mixed(b0: read f64[24], b1: read bool[4], b2: write bool[24], b3: write i32[24]) fast {
  parallel p0 in 0..2, p1 in 0..3, p2 in 0..4 {
    once {
      %0 = load b0[12*p0 + 4*p1 + p2]
      %1 = load b1[p2]
      %2 = constant f64 0.5
      %3 = add %0 %2
      %4 = mul %3 %3
      %5 = lt %4 %2
      %6 = or %5 %1
      %7 = index p1 + 3
      %8 = convert i32 %4
      %9 = select %6 %7 %8
      store b2[12*p0 + 4*p1 + p2] = %6
      store b3[p0 + 2*p1 + 6*p2] = %9
    }
  }
}
";
    check(
        kernel,
        Form::Team(1),
        &expect![[r#"
        #version 450
        // mixed: an invocation for each of 24 points
        #extension GL_EXT_shader_8bit_storage : require
        #extension GL_EXT_spirv_intrinsics : require

        // Keep NaN, infinities and -0.
        spirv_execution_mode(capabilities = [4466], 4461, 64);

        layout(local_size_x_id = 0) in;
        layout(push_constant) uniform Launch { uint points; uint row; } launch;
        layout(set = 0, binding = 0) readonly buffer B0 { double b0[]; };
        layout(set = 0, binding = 1) readonly buffer B1 { uint8_t b1[]; };
        layout(set = 0, binding = 2) writeonly buffer B2 { uint8_t b2[]; };
        layout(set = 0, binding = 3) writeonly buffer B3 { int b3[]; };

        // Towards 0; the nearest there is beyond the ends, and 0 for NaN.
        int to_int(double x) {
            if (isnan(x)) return 0;
            if (x >= 2147483648.0lf) return 0x7fffffff;
            if (x <= -2147483648.0lf) return int(0x80000000u);
            return int(x);
        }

        void main() {
            uint group = gl_WorkGroupID.y * launch.row + gl_WorkGroupID.x;
            uint point = group * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
            if (point >= launch.points) return;
            uint p2 = point % 4;
            uint p1 = point / 4 % 3;
            uint p0 = point / 12;
            double v3 = b0[12 * p0 + 4 * p1 + p2] + 0.5lf;
            double v4 = v3 * v3;
            bool v6 = v4 < 0.5lf || uint(b1[p2]) != 0;
            b2[12 * p0 + 4 * p1 + p2] = uint8_t(uint(v6));
            b3[p0 + 2 * p1 + 6 * p2] = v6 ? int(p1 + 3) : to_int(v4);
        }
    "#]],
    );
}

#[test]
fn a_matrix_product() {
    let kernel = "kernel product(b0: read f32[1400], b1: read f32[150], b2: write f32[4200]) fast {
  contract f32 batch [2] m 70 n 30 k 5 {
    a = b0 offset 0 batch [700] row 5 column 1
    b = b1 offset 0 batch [0] row 1 column 5
    c = b2 offset 0 batch [2100] row 30 column 1
  }
}
";
    check(
        kernel,
        Form::Tile(Tile::ALL[1]),
        &expect![[r#"
            #version 450
            // product: a workgroup for each of 4 tiles of 64 by 64
            #extension GL_EXT_control_flow_attributes : require

            layout(local_size_x_id = 0) in;
            layout(push_constant) uniform Launch { uint points; uint row; } launch;
            layout(set = 0, binding = 0) readonly buffer B0 { float b0[]; };
            layout(set = 0, binding = 1) readonly buffer B1 { float b1[]; };
            layout(set = 0, binding = 2) writeonly buffer B2 { float b2[]; };

            const uint M = 70, N = 30, K = 5;

            // Of a tile, and of each invocation's part of it.
            const uint ROWS = 64, COLUMNS = 64, DEPTH = 16;
            const uint HIGH = 4, WIDE = 4;

            float a(uint batch, uint row, uint column) {
                return b0[700 * batch + 5 * row + column];
            }

            float b(uint batch, uint row, uint column) {
                return b1[row + 5 * column];
            }

            void store_c(uint batch, uint row, uint column, float sum) {
                b2[2100 * batch + 30 * row + column] = sum;
            }

            // Invocations of a workgroup, down, across and in all; they divide what they load.
            const uint DOWN = ROWS / HIGH, ACROSS = COLUMNS / WIDE, GROUP = DOWN * ACROSS;
            shared float left[DEPTH][ROWS];
            shared float right[DEPTH][COLUMNS];

            // A workgroup makes a tile of the result, DEPTH products of every element at a time.
            void main() {
                uint tile = gl_WorkGroupID.y * launch.row + gl_WorkGroupID.x;
                if (tile >= launch.points) return; // the whole workgroup, so that barriers are reached by all
                const uint down = (M + ROWS - 1) / ROWS, across = (N + COLUMNS - 1) / COLUMNS;
                uint batch = tile / (down * across);
                uint top = tile / across % down * ROWS, first = tile % across * COLUMNS;
                uint own = gl_LocalInvocationIndex;
                uint x = own % ACROSS, y = own / ACROSS;

                float sums[HIGH][WIDE];
                [[unroll]] for (uint i = 0; i < HIGH; i++)
                    [[unroll]] for (uint j = 0; j < WIDE; j++) sums[i][j] = 0.0;
                for (uint start = 0; start < K; start += DEPTH) {
                    [[unroll]] for (uint part = 0; part < DEPTH * ROWS / GROUP; part++) {
                        uint i = own + part * GROUP;
                        uint row = top + i / DEPTH, k = start + i % DEPTH;
                        left[i % DEPTH][i / DEPTH] = 0.0;
                        if (row < M && k < K) left[i % DEPTH][i / DEPTH] = a(batch, row, k);
                    }
                    [[unroll]] for (uint part = 0; part < DEPTH * COLUMNS / GROUP; part++) {
                        uint i = own + part * GROUP;
                        uint k = start + i / COLUMNS, column = first + i % COLUMNS;
                        right[i / COLUMNS][i % COLUMNS] = 0.0;
                        if (column < N && k < K) right[i / COLUMNS][i % COLUMNS] = b(batch, k, column);
                    }
                    barrier();
                    for (uint k = 0; k < DEPTH; k++)
                        [[unroll]] for (uint i = 0; i < HIGH; i++)
                            [[unroll]] for (uint j = 0; j < WIDE; j++)
                                sums[i][j] += left[k][y + i * DOWN] * right[k][x + j * ACROSS];
                    barrier();
                }
                [[unroll]] for (uint i = 0; i < HIGH; i++) {
                    [[unroll]] for (uint j = 0; j < WIDE; j++) {
                        uint row = top + y + i * DOWN, column = first + x + j * ACROSS;
                        if (row < M && column < N) store_c(batch, row, column, sums[i][j]);
                    }
                }
            }
        "#]],
    );
}

#[test]
fn a_kernel_in_spirv() {
    let kernel = "kernel add(b0: read f32[6], b1: read f32[3], b2: write f32[6]) fast {
  parallel p0 in 0..2, p1 in 0..3 {
    once {
      %0 = load b0[3*p0 + p1]
      %1 = load b1[p1]
      %2 = add %0 %1
      store b2[3*p0 + p1] = %2
    }
  }
}
";
    let kernel = Kernel::parse(kernel).unwrap();
    with(Without::default(), |vulkan| {
        let mut caps = vulkan.context.caps.clone();
        (caps.f32.keeps_nan, caps.f32.keeps_denormals, caps.f32.rounds_to_even) = (true, false, false);
        let module = spirv::emit(&Launch::plain(kernel, Form::Team(1), Vec::new()), &caps, "test").unwrap();
        super::valid(&module.words);
        expect![[r#"
            ; SPIR-V
            ; Version: 1.5
            ; Generator: rspirv
            ; Bound: 56
            OpCapability Shader
            OpCapability SignedZeroInfNanPreserve
            %1 = OpExtInstImport "GLSL.std.450"
            OpMemoryModel Logical GLSL450
            OpEntryPoint GLCompute %25 "main" %10 %11 %12 %16 %19 %23
            OpExecutionMode %25 LocalSize 64 1 1
            OpExecutionMode %25 SignedZeroInfNanPreserve 32
            OpName %10 "b0"
            OpName %11 "b1"
            OpName %12 "b2"
            OpMemberName %14 0 "points"
            OpMemberName %14 1 "row"
            OpName %16 "launch"
            OpDecorate %6 ArrayStride 4
            OpDecorate %7 Block
            OpMemberDecorate %7 0 Offset 0
            OpDecorate %10 DescriptorSet 0
            OpDecorate %10 Binding 0
            OpDecorate %10 NonWritable
            OpDecorate %11 DescriptorSet 0
            OpDecorate %11 Binding 1
            OpDecorate %11 NonWritable
            OpDecorate %12 DescriptorSet 0
            OpDecorate %12 Binding 2
            OpDecorate %14 Block
            OpMemberDecorate %14 0 Offset 0
            OpMemberDecorate %14 1 Offset 4
            OpDecorate %19 BuiltIn WorkgroupId
            OpDecorate %20 SpecId 0
            OpDecorate %21 BuiltIn WorkgroupSize
            OpDecorate %23 BuiltIn LocalInvocationIndex
            %2 = OpTypeVoid
            %3 = OpTypeBool
            %4 = OpTypeInt 32 0
            %5 = OpTypeFloat 32
            %6 = OpTypeRuntimeArray %5
            %7 = OpTypeStruct %6
            %8 = OpTypePointer StorageBuffer %7
            %9 = OpTypePointer StorageBuffer %5
            %10 = OpVariable  %8  StorageBuffer
            %11 = OpVariable  %8  StorageBuffer
            %12 = OpVariable  %8  StorageBuffer
            %13 = OpConstant  %4  1
            %14 = OpTypeStruct %4 %4
            %15 = OpTypePointer PushConstant %14
            %16 = OpVariable  %15  PushConstant
            %17 = OpTypeVector %4 3
            %18 = OpTypePointer Input %17
            %19 = OpVariable  %18  Input
            %20 = OpSpecConstant  %4  64
            %21 = OpSpecConstantComposite  %17  %20 %13 %13
            %22 = OpTypePointer Input %4
            %23 = OpVariable  %22  Input
            %24 = OpTypeFunction %2
            %30 = OpConstant  %4  0
            %31 = OpTypePointer PushConstant %4
            %39 = OpConstant  %4  256
            %45 = OpConstant  %4  3
            %25 = OpFunction  %2  None %24
            %26 = OpLabel
            %27 = OpLoad  %17  %19
            %28 = OpCompositeExtract  %4  %27 0
            %29 = OpCompositeExtract  %4  %27 1
            %32 = OpAccessChain  %31  %16 %30
            %33 = OpLoad  %4  %32
            %34 = OpAccessChain  %31  %16 %13
            %35 = OpLoad  %4  %34
            %36 = OpIMul  %4  %29 %35
            %37 = OpIAdd  %4  %36 %28
            %38 = OpLoad  %4  %23
            %40 = OpIMul  %4  %37 %39
            %41 = OpIAdd  %4  %40 %38
            %42 = OpULessThan  %3  %41 %33
            OpSelectionMerge %44 None
            OpBranchConditional %42 %43 %44
            %43 = OpLabel
            %46 = OpUDiv  %4  %41 %45
            %47 = OpUMod  %4  %41 %45
            %48 = OpIMul  %4  %46 %45
            %49 = OpIAdd  %4  %48 %47
            %50 = OpAccessChain  %9  %10 %30 %49
            %51 = OpLoad  %5  %50
            %52 = OpAccessChain  %9  %11 %30 %47
            %53 = OpLoad  %5  %52
            %54 = OpFAdd  %5  %51 %53
            %55 = OpAccessChain  %9  %12 %30 %49
            OpStore %55 %54
            OpBranch %44
            %44 = OpLabel
            OpReturn
            OpFunctionEnd"#]]
        .assert_eq(&module.disassemble());
    });
}
