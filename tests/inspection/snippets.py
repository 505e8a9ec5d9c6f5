"""A small kernel by hand, as PTX and as SASS, with known answers.

It adds a number to the elements of a list: a table is read, then whole chunks of 1,024 elements
run through a loop of 128 threads with one 16-byte load and store each (two rounds), and the rest
through masked accesses of 4 bytes.
"""

PTX = """
//
.version 8.8
.target sm_90a
.address_size 64

.visible .entry add_one(
    .param .u64 .ptr .global .align 1 add_one_param_0,
    .param .u32 add_one_param_1
)
.reqntid 128
{
    .reg .pred  %p<4>;
    .reg .b32   %r<20>;
    .reg .b64   %rd<9>;
    .loc 1 2 0  // somewhere.py:2:0
    ld.param.b64    %rd1, [add_one_param_0];
    // begin inline asm
    mov.u64 %rd2, 0x0;
    ld.global.b64 { %rd2 }, [ %rd1 + 0 ];
    // end inline asm
    ld.param.b32    %r1, [add_one_param_1];
    mov.u32     %r2, %tid.x;
    mul.wide.u32    %rd3, %r2, 16;
    add.s64     %rd4, %rd2, %rd3;
    setp.gt.s32     %p1, %r1, 1023;
    @!%p1 bra   $L__BB0_3;
    mov.b32     %r3, -512;
$L__BB0_2:                              // the loop
$L__tmp1:
    ld.global.v4.b32 { %r4, %r5, %r6, %r7 }, [ %rd4 + 0 ];
    add.rn.f32  %r8, %r4, 0f3F800000;
    sqrt.rn.f32  %r9, %r5;
    add.rn.f32  %r10, %r6, 0f3F800000;
    add.rn.f32  %r11, %r7, 0f3F800000;
    st.global.v4.b32 [ %rd4 + 0 ], { %r8, %r9, %r10, %r11 };
    add.s64     %rd4, %rd4, 2048;
    add.s32     %r3, %r3, 512;
    setp.lt.u32     %p2, %r3, 512;
    @%p2 bra    $L__BB0_2;
    ret;
$L__BB0_3:
    setp.lt.s32     %p3, %r2, %r1;
    @%p3 ld.global.b32 { %r12 }, [ %rd4 + 0 ];
    add.rn.f32  %r13, %r12, 0f3F800000;
    @%p3 st.global.b32 [ %rd4 + 0 ], { %r13 };
    ret;
}
"""

SASS = """
    .target sm_90a
    .section    .text.add_one,"ax",@progbits
add_one:
.text.add_one:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/                   LDG.E.64 R2, desc[UR4][R4.64] ;
        /*0020*/                   ISETP.GT.AND P0, PT, R9, 0x3ff, PT ;
        /*0030*/              @!P0 BRA `(.L_x_3) ;
        /*0040*/                   UMOV UR6, 0xfffffe00 ;
.L_x_0:
        /*0050*/                   LDG.E.128 R12, desc[UR4][R2.64] ;
        /*0060*/                   MUFU.RSQ R6, R13 ;
        /*0070*/                   FADD R12, R12, 1 ;
        /*0080*/                   ISETP.GT.U32.AND P1, PT, R13, 0x727fffff, PT ;
        /*0090*/              @!P1 BRA `(.L_x_1) ;
        /*00a0*/                   MOV R0, 0xc0 ;
        /*00b0*/                   CALL.REL.NOINC `($__internal_0_$__sqrt_rn_f32_slowpath) ;
        /*00c0*/                   BRA `(.L_x_2) ;
.L_x_1:
        /*00d0*/                   FMUL.FTZ R7, R13, R6 ;
        /*00e0*/                   FFMA R13, -R7, R7, R13 ;
.L_x_2:
        /*00f0*/                   STG.E.128 desc[UR4][R2.64], R12 ;
        /*0100*/                   UIADD3 UR6, UR6, 0x200, URZ ;
        /*0110*/               @P2 BRA `(.L_x_0) ;
        /*0120*/                   EXIT ;
.L_x_3:
        /*0130*/               @P3 LDG.E R8, desc[UR4][R2.64] ;
        /*0140*/                   FADD R8, R8, 1 ;
        /*0150*/               @P3 STG.E desc[UR4][R2.64], R8 ;
        /*0160*/                   EXIT ;
        .weak       $__internal_0_$__sqrt_rn_f32_slowpath
$__internal_0_$__sqrt_rn_f32_slowpath:
        /*0170*/                   MUFU.RSQ R6, R13 ;
        /*0180*/                   RET.REL.NODEC R0 `(add_one) ;
.L_x_4:
        /*0190*/                   BRA `(.L_x_4);
"""

USAGE = """
Resource usage:
 Function add_one:
  REG:16 STACK:0 SHARED:0 LOCAL:0 CONSTANT[0]:540 TEXTURE:0 SURFACE:0 SAMPLER:0
"""
