package main

import "runtime"

// mutexes sets the rate of the mutex profile; false where there is none.
func mutexes(rate int) bool {
	runtime.SetMutexProfileFraction(rate)
	return true
}
