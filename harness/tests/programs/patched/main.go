// Something else changes one of the program's entries before main: C code that runs before the Go runtime puts the byte
// PATCH_BYTE at the address PATCH_AT, as a debugger, a uprobe or another patcher does. The function that begins there is
// never called.

package main

// #include <stdint.h>
// #include <stdlib.h>
// #include <sys/mman.h>
//
// static void __attribute__((constructor)) patch(void) {
// 	char *at = getenv("PATCH_AT"), *byte = getenv("PATCH_BYTE");
// 	if (at == 0 || byte == 0)
// 		return;
// 	uintptr_t entry = strtoull(at, 0, 0);
// 	if (mprotect((void *)(entry & ~4095ul), 8192, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
// 		abort();
// 	*(unsigned char *)entry = strtoul(byte, 0, 0);
// }
import "C"

import (
	"fmt"
	"os"
)

//go:noinline
func left(n int) int { return n + len(os.Args) }

//go:noinline
func victim(n int) int { return n - len(os.Args) }

func main() {
	if len(os.Args) > 5 {
		fmt.Println(victim(1))
	}
	fmt.Println(left(2))
}
