// Package headgatev1 is the contract of headgate: messages, stub and constants.
//
// Package headgate.dev/go/headgate opens a channel for it, and reads its errors.
package headgatev1
