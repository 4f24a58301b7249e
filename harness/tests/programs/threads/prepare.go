package main

func prepare() {}
