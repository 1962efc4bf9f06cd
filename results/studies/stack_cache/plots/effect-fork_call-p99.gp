# Drawn by forksim plot; run `gnuplot effect-fork_call-p99.gp` in this folder to draw it again.
set terminal svg size 1000,320 font "DejaVu Sans,13" background "white" noenhanced name "effect_fork_call_p99"
set output "effect-fork_call-p99.svg"
set title "stack_cache: fork_call.p99 by stacks"
set xlabel "fork_call.p99 relative to stacks = 2, 95 % interval, 20 seeds"
set logscale x
set xrange [0.02616:1.576]
set xtics ("" 0.03 1, "" 0.04 1, "0.05" 0.05, "" 0.06 1, "" 0.07 1, "" 0.08 1, "" 0.09 1, "0.1" 0.1, "0.2" 0.2, "" 0.3 1, "" 0.4 1, "0.5" 0.5, "" 0.6 1, "" 0.7 1, "" 0.8 1, "" 0.9 1, "1" 1)
set format x "%.4g"
set yrange [0.4:2.6]
set ytics ("0" 2, "8" 1)
set border 3
set tics nomirror
set grid xtics mxtics lt 1 lw 1 lc rgb "#c8c8c8", lt 1 lw 1 lc rgb "#ebebeb"
set arrow from 1, graph 0 to 1, graph 1 nohead lw 1.5 lc rgb "#404040"
set key outside right top vertical Left reverse samplen 1 spacing 1.2
plot "effect-fork_call-p99.dat" index 0 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#0072b2" title "fork_storm", \
     "effect-fork_call-p99.dat" index 1 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#d55e00" title "make_j4", \
     "effect-fork_call-p99.dat" index 2 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#009e73" title "fork_rate", \
     "effect-fork_call-p99.dat" index 3 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#cc79a7" title "fork_clients"
unset output
set terminal pngcairo size 1000,320 font "DejaVu Sans,13" background "white" noenhanced
set output "effect-fork_call-p99.png"
replot
unset output
