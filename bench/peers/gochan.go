// SPDX-License-Identifier: MIT

// gochan: Go's mutex, channels, a pool of goroutines over a channel, and os/exec, measured as bench/ measures Motet.
// Goroutines stay where Go's own scheduler puts them, with as many processors as there are CPUs: nothing is pinned.
//
//	gochan [--quick] [--repeats N] [NAME...] | --list
package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const capacity = 1024

var (
	quick   bool
	repeats = 9
)

type row struct {
	name, unit string
	run        func() []float64
}

func die(why string, code int) {
	fmt.Fprintln(os.Stderr, "gochan: "+why)
	os.Exit(code)
}

// measure is bench_measure: once does n operations and says how long they took.
func measure(once func(n int) time.Duration, unit string, nMin, nMax int, span time.Duration) []float64 {
	n := nMin
	if quick {
		span = 2 * time.Millisecond
		if n > 100 {
			n = 100
		}
	}
	for {
		d := once(n)
		if n >= nMax || float64(d) >= 0.7*float64(span) {
			break
		}
		more := math.Max(1.1, math.Min(10, float64(span)/float64(d+1)))
		n = int(math.Min(float64(n)*more+1, float64(nMax)))
	}
	once(n)
	var samples []float64
	for i := 0; i < repeats; i++ {
		ns := math.Max(float64(once(n)), 1)
		if unit == "ns" {
			samples = append(samples, ns/float64(n))
		} else {
			samples = append(samples, float64(n)*1e9/ns)
		}
	}
	return samples
}

func uncontended() []float64 {
	var m sync.Mutex
	return measure(func(n int) time.Duration {
		t := time.Now()
		for i := 0; i < n; i++ {
			m.Lock()
			m.Unlock()
		}
		return time.Since(t)
	}, "ns", 1000, 1e9, 60*time.Millisecond)
}

func contended() []float64 {
	return measure(func(n int) time.Duration {
		var m sync.Mutex
		var wg sync.WaitGroup
		var stop atomic.Bool
		var counter, total int64
		t := time.Now()
		for i := 0; i < 2; i++ {
			wg.Add(1)
			go func() {
				done := 0
				for !stop.Load() && done < n {
					m.Lock()
					counter++
					m.Unlock()
					done++
				}
				stop.Store(true)
				atomic.AddInt64(&total, int64(done))
				wg.Done()
			}()
		}
		wg.Wait()
		d := time.Since(t)
		if counter != total {
			die("the mutex let two in", 1)
		}
		return time.Duration(float64(d) * float64(n) / float64(total))
	}, "pairs/s", 1000, 1e9, 60*time.Millisecond)
}

func flow(side int) func() []float64 {
	return func() []float64 {
		c := make(chan uint64, capacity)
		return measure(func(n int) time.Duration {
			var wg sync.WaitGroup
			var in, out uint64
			each := n/side + 1
			t := time.Now()
			for i := 0; i < side; i++ {
				wg.Add(2)
				go func(from int) {
					sum := uint64(0)
					for k := 0; k < each; k++ {
						c <- uint64(from + k)
						sum += uint64(from + k)
					}
					atomic.AddUint64(&in, sum)
					wg.Done()
				}(i * each)
				go func() {
					sum := uint64(0)
					for k := 0; k < each; k++ {
						sum += <-c
					}
					atomic.AddUint64(&out, sum)
					wg.Done()
				}()
			}
			wg.Wait()
			d := time.Since(t)
			if in != out {
				die("what came out of the channel is not what went in", 1)
			}
			return time.Duration(float64(d) * float64(n) / float64(each*side))
		}, "items/s", 1000, 1e9, 60*time.Millisecond)
	}
}

// Between goroutines of one scheduler: mostly a switch on one thread, not a wake across CPUs.
func pingpong() []float64 {
	there, back := make(chan uint64, capacity), make(chan uint64, capacity)
	return measure(func(n int) time.Duration {
		go func() {
			for i := 0; i < n; i++ {
				back <- <-there
			}
		}()
		t := time.Now()
		for i := 0; i < n; i++ {
			there <- uint64(i)
			<-back
		}
		return time.Since(t)
	}, "ns", 200, 1e9, 60*time.Millisecond)
}

func pool(workers int) chan func() {
	c := make(chan func(), capacity)
	for i := 0; i < workers; i++ {
		go func() {
			for f := range c {
				f()
			}
		}()
	}
	return c
}

func submit() []float64 {
	c := pool(runtime.NumCPU())
	defer close(c)
	return measure(func(n int) time.Duration {
		var wg sync.WaitGroup
		wg.Add(n)
		t := time.Now()
		for i := 0; i < n; i++ {
			c <- wg.Done
		}
		wg.Wait()
		return time.Since(t)
	}, "tasks/s", 100000, 1000000, 400*time.Millisecond)
}

// Each task is a goroutine of its own.
func spawnEach() []float64 {
	return measure(func(n int) time.Duration {
		var wg sync.WaitGroup
		wg.Add(n)
		t := time.Now()
		for i := 0; i < n; i++ {
			go wg.Done()
		}
		wg.Wait()
		return time.Since(t)
	}, "tasks/s", 100000, 1000000, 400*time.Millisecond)
}

func trip(c chan func(), result chan int) {
	c <- func() { result <- 1 }
	<-result
}

func roundtrip(workers int) func() []float64 {
	return func() []float64 {
		c, result := pool(workers), make(chan int, 1)
		defer close(c)
		return measure(func(n int) time.Duration {
			t := time.Now()
			for i := 0; i < n; i++ {
				trip(c, result)
			}
			return time.Since(t)
		}, "ns", 200, 1e9, 60*time.Millisecond)
	}
}

func roundtripIdle() []float64 {
	c, result := pool(1), make(chan int, 1)
	defer close(c)
	k := 30
	if quick {
		k = 3
	}
	var samples []float64
	for r := 0; r <= repeats; r++ {
		v := make([]float64, k)
		for i := range v {
			time.Sleep(2 * time.Millisecond)
			t := time.Now()
			trip(c, result)
			v[i] = float64(time.Since(t))
		}
		if r > 0 {
			samples = append(samples, median(v))
		}
	}
	return samples
}

func spawn(program string) func() []float64 {
	return func() []float64 {
		return measure(func(n int) time.Duration {
			t := time.Now()
			for i := 0; i < n; i++ {
				if err := exec.Command(program).Run(); err != nil {
					die(err.Error(), 1)
				}
			}
			return time.Since(t)
		}, "ns", 10, 1e9, 100*time.Millisecond)
	}
}

func median(v []float64) float64 {
	sort.Float64s(v)
	if len(v)%2 == 1 {
		return v[len(v)/2]
	}
	return (v[len(v)/2-1] + v[len(v)/2]) / 2
}

func main() {
	self, _ := os.Executable()
	rows := []row{
		{"child.spawn.nolibc@go", "ns", spawn(filepath.Join(filepath.Dir(self), "motet-bench-nolibc"))},
		{"child.spawn@go", "ns", spawn("/bin/true")},
		{"lock.contended@go", "pairs/s", contended},
		{"lock.uncontended@go", "ns", uncontended},
		{"pool.thread.roundtrip.2w@go", "ns", roundtrip(2)},
		{"pool.thread.roundtrip.idle@go", "ns", roundtripIdle},
		{"pool.thread.roundtrip@go", "ns", roundtrip(1)},
		{"pool.thread.submit@go", "tasks/s", submit},
		{"pool.thread.submit@go-goroutines", "tasks/s", spawnEach},
		{"queue.thread.1p1c@go", "items/s", flow(1)},
		{"queue.thread.4p4c@go", "items/s", flow(4)},
		{"queue.thread.pingpong@go", "ns", pingpong},
	}
	wanted := map[string]bool{}
	for i := 1; i < len(os.Args); i++ {
		switch a := os.Args[i]; {
		case a == "--list":
			for _, r := range rows {
				fmt.Println(r.name)
			}
			return
		case a == "--quick":
			quick, repeats = true, 2
		case a == "--repeats" && i+1 < len(os.Args):
			i++
			n, err := strconv.Atoi(os.Args[i])
			if err != nil || n < 1 {
				die("--repeats wants a number", 2)
			}
			repeats = n
		case strings.HasPrefix(a, "-"):
			die("unknown option "+a, 2)
		default:
			wanted[a] = true
		}
	}
	for _, r := range rows {
		if len(wanted) == 0 || wanted[r.name] {
			fmt.Printf("%s %.4f %s\n", r.name, median(r.run()), r.unit)
		}
	}
}
