// For `threads`: locks all memory of the process, present and future, before it does anything else.

package main

import "syscall"

func prepare() {
	if err := syscall.Mlockall(syscall.MCL_CURRENT | syscall.MCL_FUTURE); err != nil {
		println("mlockall:", err.Error())
	}
}
