#include "textflag.h"
#include "funcdata.h"

// func assembly(p *node, n int) int
TEXT ·assembly(SB), 0, $32-24
	NO_LOCAL_POINTERS
	MOVQ p+0(FP), AX
	MOVQ n+8(FP), BX
	INCQ BX
	MOVQ AX, 0(SP)
	MOVQ BX, 8(SP)
	CALL ·assembled(SB)
	MOVQ 16(SP), AX
	MOVQ AX, ret+16(FP)
	RET

// func asmleaf(p *node, n int) int
TEXT ·asmleaf(SB), NOSPLIT, $48-24
	MOVQ p+0(FP), AX
	MOVQ (AX), AX
	MOVQ AX, 8(SP)
	MOVQ n+8(FP), BX
	ADDQ 8(SP), BX
	MOVQ BX, ret+16(FP)
	RET
