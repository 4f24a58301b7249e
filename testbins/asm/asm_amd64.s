#include "textflag.h"
#include "funcdata.h"

// func add3(a int64, b int32, c int8) int64
TEXT ·add3(SB), NOSPLIT, $0-24
	MOVQ    a+0(FP), AX
	MOVLQSX b+8(FP), BX
	MOVBQSX c+12(FP), CX
	ADDQ    BX, AX
	ADDQ    CX, AX
	MOVQ    AX, ret+16(FP)
	RET

// func total(xs []int64, start *int64) (sum int64, n int64)
TEXT ·total(SB), NOSPLIT, $64-48
	MOVQ xs_base+0(FP), SI
	MOVQ xs_len+8(FP), CX
	MOVQ start+24(FP), DI
	MOVQ (DI), AX
	MOVQ CX, 8(SP)
	CMPQ CX, $0
	JEQ  done

loop:
	ADDQ (SI), AX
	ADDQ $8, SI
	DECQ CX
	JNZ  loop

done:
	MOVQ 8(SP), BX
	MOVQ AX, sum+32(FP)
	MOVQ BX, n+40(FP)
	RET

// func countdown(n int64) int64
// The loop branches back to just behind the entry.
TEXT ·countdown(SB), NOSPLIT, $0-16
	XORL AX, AX

again:
	INCQ AX
	CMPQ AX, n+0(FP)
	JLT  again
	MOVQ AX, ret+8(FP)
	RET

// func viaAsm(x int64, s string) (int64, int64)
// Has a frame and the usual stack check, and calls Go.
TEXT ·viaAsm(SB), 0, $40-40
	NO_LOCAL_POINTERS
	MOVQ x+0(FP), AX
	MOVQ s_base+8(FP), BX
	MOVQ s_len+16(FP), CX
	MOVQ AX, 0(SP)
	MOVQ BX, 8(SP)
	MOVQ CX, 16(SP)
	CALL ·callback(SB)
	MOVQ 24(SP), AX
	MOVQ 32(SP), BX
	MOVQ AX, ret+24(FP)
	MOVQ BX, ret1+32(FP)
	RET
